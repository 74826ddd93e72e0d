// libFuzzer target of the weather reader. Most bytes fail in the header, so an input whose first byte is odd
// is taken as changes to a valid year: three bytes of position, one byte to put there, repeated. What must
// hold: no crash, no sanitizer report; what is read can be asked at any time and gives finite values.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "plant/epw.hpp"

namespace {

std::string valid_year() {
  std::string out =
      "LOCATION,A,B,C,TMY,0,10.0,20.0,-8.0,100.0\nDESIGN CONDITIONS,0\nTYPICAL/EXTREME PERIODS,0\n"
      "GROUND TEMPERATURES,0\nHOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0\nCOMMENTS 1,x\nCOMMENTS 2,x\n"
      "DATA PERIODS,1,1,Data,Sunday,1/1,12/31\n";
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int month = 1; month <= 12; ++month) {
    for (int hour = 0; hour < kDays[month - 1] * 24; ++hour) {
      out += "1999," + std::to_string(month) + "," + std::to_string(hour / 24 + 1) + "," +
             std::to_string(hour % 24 + 1) +
             ",0,f,20.0,10.0,50,100000,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0\n";
    }
  }
  return out;
}

std::string changed_year(const std::uint8_t* data, std::size_t size) {
  static const std::string kYear = valid_year();
  std::string out = kYear;
  for (std::size_t i = 0; i + 4 <= size; i += 4) {
    const std::size_t at = static_cast<std::size_t>(data[i]) | static_cast<std::size_t>(data[i + 1]) << 8U |
                           static_cast<std::size_t>(data[i + 2]) << 16U;
    out[at % out.size()] = static_cast<char>(data[i + 3]);
  }
  return out;
}

void ask(const perjoule::plant::WeatherSeries& series) {
  for (const std::int64_t day : {-20'000, -1, 0, 59, 11'016, 20'454}) {
    const auto s = series.at({day * perjoule::base::kNsPerDay + 1});
    if (!std::isfinite(s.wet_bulb.value()) || s.wet_bulb > s.dry_bulb) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text;
  if (size > 0 && (data[0] & 1U) != 0) {
    text = changed_year(data + 1, size - 1);
  } else {
    text.assign(reinterpret_cast<const char*>(data), size);
  }
  const auto series = perjoule::plant::WeatherSeries::parse(text, "fuzz.epw");
  if (series.ok()) {
    ask(*series);
  } else if (series.error().where.empty() || series.error().why.empty()) {
    std::abort();
  }
  return 0;
}
