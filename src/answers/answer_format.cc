#include "answers/answer_format.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "base/time.hpp"

namespace perjoule::answers {
namespace {

// Characters on a terminal: bytes of UTF-8 that begin a character.
std::size_t width_of(std::string_view s) {
  return static_cast<std::size_t>(std::count_if(
      s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void put_line(std::string& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
              const std::vector<bool>& right, std::size_t indent) {
  std::string line(indent, ' ');
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::string pad(widths[c] - width_of(cells[c]), ' ');
    if (c != 0) line += "  ";
    line += c < right.size() && right[c] ? pad + cells[c] : cells[c] + pad;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + '\n';
}

}  // namespace

std::string TextTable::text(std::size_t indent, bool ruled) const {
  std::vector<std::size_t> widths(header.size());
  for (std::size_t c = 0; c < header.size(); ++c) {
    widths[c] = width_of(header[c]);
    for (const auto& row : rows) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string out;
  put_line(out, header, widths, right, indent);
  std::vector<std::string> rule;
  for (const std::size_t w : widths) rule.emplace_back(w, '-');
  if (ruled) put_line(out, rule, widths, {}, indent);
  for (const auto& row : rows) put_line(out, row, widths, right, indent);
  return out;
}

std::string TextTable::csv() const {
  std::string out;
  const auto put = [&out](const std::vector<std::string>& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c) out += (c == 0 ? "" : ",") + csv_field(cells[c]);
    out += '\n';
  };
  put(header);
  for (const auto& row : rows) put(row);
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') out += '"';
  }
  return out + '"';
}

std::string energy_text(std::int64_t uj) {
  const double joules = static_cast<double>(uj) * 1e-6;
  const double size = std::abs(joules);
  if (size >= 3.6e5) return base::fixed_text(joules / 3.6e6, size >= 3.6e8 ? 1 : 3) + " kWh";
  if (size >= 3.6e2) return base::fixed_text(joules / 3.6e3, 2) + " Wh";
  return base::si_text(joules, "J");
}

std::string exact_energy_text(std::int64_t uj) { return base::group_digits(uj) + " uJ"; }

std::string percent_text(double part, double whole) {
  if (!(std::abs(whole) > 0.0)) return "-";
  return base::fixed_text(100.0 * part / whole, 1) + " %";
}

std::string number_text(double value, int decimals) {
  return std::isnan(value) ? "-" : base::fixed_text(value, decimals);
}

std::string time_text(std::int64_t ns) { return base::format_iso8601(base::TimePoint{ns}); }

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace perjoule::answers
