// How answers look: aligned text tables, CSV, and energies for people. Numbers for machines stay whole
// microjoules and nanoseconds. Thread rule: values, pure functions. Ownership: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perjoule::answers {

struct TextTable {
  std::vector<std::string> header;
  std::vector<bool> right;  // columns set to the right; missing entries: left
  std::vector<std::vector<std::string>> rows;

  // Columns two blanks apart, a rule below the header if `ruled`, every line after `indent` blanks.
  std::string text(std::size_t indent = 0, bool ruled = true) const;
  // RFC 4180, lines end in "\n".
  std::string csv() const;
};

std::string csv_field(std::string_view text);
// "312.4 kWh", "41.2 Wh", "95.1 J": the unit follows the size.
std::string energy_text(std::int64_t uj);
// "1,234,567 uJ".
std::string exact_energy_text(std::int64_t uj);
// part / whole as "12.3 %"; "-" where there is no whole.
std::string percent_text(double part, double whole);
// "-" for an absent (NaN) value.
std::string number_text(double value, int decimals);
std::string time_text(std::int64_t ns);
// &, <, > and both quotes escaped.
std::string html_text(std::string_view text);

}  // namespace perjoule::answers
