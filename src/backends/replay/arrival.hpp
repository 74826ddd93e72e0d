// Arrivals of a mapped trace as seconds from its start, checked for order. Used by both trace readers.
// Thread rule: one per file.
#pragma once

#include <cmath>
#include <optional>

#include "backends/intake/mapped_table.hpp"
#include "base/text.hpp"

namespace perjoule::backends::replay {

class ArrivalReader {
 public:
  ArrivalReader(const intake::MappedTable& table, base::Seconds longest) : table_(table), longest_(longest) {}

  // Calendar times count from the first row; relative ones are taken as they stand.
  base::Result<base::Seconds> read(std::size_t row) {
    double s = 0;
    if (intake::is_absolute_time(table_.mapping().find("arrival")->unit)) {
      PJ_ASSIGN(const auto t, table_.time(row, "arrival"));
      if (!start_) start_ = t;
      // Far-apart stamps could overflow int64; near ones must stay exact, and / 1e9 rounds once where * 1e-9
      // does twice.
      const double apart = static_cast<double>(t.ns) - static_cast<double>(start_->ns);
      const bool near = std::abs(apart) <= longest_.value() * 1e9;
      s = (near ? static_cast<double>((t - *start_).ns) : apart) / 1e9;
    } else {
      PJ_ASSIGN(const auto number, table_.number(row, "arrival"));
      if (!number) return fault(row, "the arrival is empty");
      s = *number;
    }
    return check(row, s);
  }
  std::optional<base::TimePoint> start() const { return start_; }

 private:
  base::Error fault(std::size_t row, std::string why, std::string hint = {}) const {
    return base::bad_input("read a trace", table_.where(row, "arrival"), std::move(why), std::move(hint));
  }
  base::Result<base::Seconds> check(std::size_t row, double s) {
    if (last_ && s < *last_) {
      return fault(
          row,
          "times go backwards (" + base::shortest_text(s) + " s after " + base::shortest_text(*last_) + " s)",
          "Sort the file by arrival");
    }
    if (s < 0) return fault(row, "the arrival is before the start");
    if (s > longest_.value())
      return fault(row, "the arrival is more than 100 years after the start", "Check the unit");
    last_ = s;
    return base::Seconds(s);
  }

  const intake::MappedTable& table_;
  base::Seconds longest_;
  std::optional<double> last_;
  std::optional<base::TimePoint> start_;
};

}  // namespace perjoule::backends::replay
