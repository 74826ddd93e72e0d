// Any bytes as a delimited table: never a crash, and every field's place can be named.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.hpp"
#include "base/csv.hpp"
#include "base/gzip.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace perjoule::base;
  if (size == 0) return 0;
  CsvOptions options;
  options.separator = (data[0] & 1) != 0 ? '\t' : ',';
  options.header = (data[0] & 2) == 0;
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (is_gzip(text)) {
    auto plain = gunzip(text, "fuzz", 1 << 20);
    if (!plain.ok()) return 0;
    text = std::move(plain).value();
  }
  const auto table = CsvTable::parse(std::move(text), "fuzz", options);
  if (!table.ok()) {
    PJ_CHECK(!table.error().where.empty());
    return 0;
  }
  for (std::size_t row = 0; row < table->rows(); ++row) {
    for (std::size_t column = 0; column < table->columns().size(); ++column) {
      PJ_CHECK(table->where(row, column).starts_with("fuzz:"));
      (void)table->number(row, column);
      (void)table->integer(row, column);
    }
  }
  return 0;
}
