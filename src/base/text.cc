#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace perjoule::base {

std::string_view trim(std::string_view s) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = s.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string_view> split(std::string_view s, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto at = s.find(separator);
    out.push_back(s.substr(0, at));
    if (at == std::string_view::npos) return out;
    s.remove_prefix(at + 1);
  }
}

// from_chars knows no leading plus; after it a second sign is not a number.
static std::string_view without_plus(std::string_view s) {
  return s.size() > 1 && s[0] == '+' && s[1] != '-' ? s.substr(1) : s;
}

std::optional<double> parse_double(std::string_view s) {
  s = without_plus(s);
  double v = 0.0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (ec != std::errc() || end != s.data() + s.size() || !std::isfinite(v)) return std::nullopt;
  return v;
}

std::optional<std::int64_t> parse_int(std::string_view s) {
  s = without_plus(s);
  std::int64_t v = 0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (ec != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return v;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  const std::size_t w = b.size() + 1;
  std::vector<std::size_t> before(w), last(w), row(w);
  for (std::size_t j = 0; j < w; ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j < w; ++j) {
      const std::size_t swap_cost = a[i - 1] == b[j - 1] ? 0U : 1U;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + swap_cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[w - 1];
}

std::string nearest_name_hint(std::string_view wrong, std::span<const std::string> names) {
  const std::string* best = nullptr;
  std::size_t best_distance = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  for (const auto& name : names) {
    const std::size_t d = edit_distance(wrong.substr(0, 64), std::string_view(name).substr(0, 64));
    if (d < best_distance) best_distance = d, best = &name;
  }
  if (best != nullptr) return "Did you mean '" + *best + "'?";
  std::string out = "Known:";
  std::size_t shown = 0;
  for (const auto& name : names) {
    if (++shown > 12) return out + " ...";
    out += (shown == 1 ? " " : ", ") + name;
  }
  return out;
}

std::string group_digits(std::int64_t n) {
  std::string digits = std::to_string(n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, 1, ',');
  }
  return digits;
}

std::string si_text(double value, std::string_view unit) {
  struct Prefix {
    double scale;
    const char* name;
  };
  constexpr std::array<Prefix, 9> kPrefixes{{{1e12, "T"},
                                             {1e9, "G"},
                                             {1e6, "M"},
                                             {1e3, "k"},
                                             {1.0, ""},
                                             {1e-3, "m"},
                                             {1e-6, "u"},
                                             {1e-9, "n"},
                                             {1e-12, "p"}}};
  const double magnitude = std::abs(value);
  Prefix p{1.0, ""};
  for (const Prefix& candidate : kPrefixes) {
    if (magnitude >= candidate.scale * 0.9995) {
      p = candidate;
      break;
    }
  }
  std::array<char, 64> buf{};
  const double v = value / p.scale;
  const int decimals = std::abs(v) >= 99.95 ? 0 : std::abs(v) >= 9.995 ? 1 : 2;
  std::snprintf(buf.data(), buf.size(), "%.*f %s", decimals, v, p.name);
  return std::string(buf.data()) + std::string(unit);
}

std::string fixed_text(double value, int decimals) {
  std::array<char, 400> buf{};
  const auto end =
      std::to_chars(buf.data(), buf.data() + buf.size(), value, std::chars_format::fixed, decimals).ptr;
  return {buf.data(), end};
}

std::string shortest_text(double value) {
  std::array<char, 64> buf{};
  return {buf.data(), std::to_chars(buf.data(), buf.data() + buf.size(), value).ptr};
}

std::string hex64(std::uint64_t v) {
  std::array<char, 20> buf{};
  std::snprintf(buf.data(), buf.size(), "%016llx", static_cast<unsigned long long>(v));
  return buf.data();
}

std::size_t line_with_deep_key(std::string_view toml) {
  std::size_t line = 1, parts = 0;
  bool after_dot = true;
  for (const char c : toml) {
    const bool blank = c == ' ' || c == '\t';
    const bool in_key = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' ||
                        c == '"' || c == '\'' || static_cast<unsigned char>(c) >= 0x80;
    if (c == '.') {
      parts += after_dot ? 0 : 1;
      after_dot = true;
      if (parts > kDeepestKey) return line;
    } else if (in_key) {
      after_dot = false;
    } else if (!blank) {
      parts = 0;
      after_dot = true;
    }
    if (c == '\n') ++line;
  }
  return 0;
}

}  // namespace perjoule::base
