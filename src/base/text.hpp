// Small text helpers: strict numbers, nearest names for error hints, numbers for people.
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace perjoule::base {

std::string_view trim(std::string_view s);
std::vector<std::string_view> split(std::string_view s, char separator);
// The whole text must be the number; inf and nan are refused.
std::optional<double> parse_double(std::string_view s);
std::optional<std::int64_t> parse_int(std::string_view s);
// Damerau-Levenshtein (optimal string alignment) distance, bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);
// "Did you mean 'x'?" for the nearest of `names`, else the list of names (at most 12).
std::string nearest_name_hint(std::string_view wrong, std::span<const std::string> names);
// 12345678 -> "12,345,678".
std::string group_digits(std::int64_t n);
// Three significant digits with an SI prefix: si_text(1234.0, "W") == "1.23 kW".
std::string si_text(double value, std::string_view unit);
// Fixed decimals without locale: fixed_text(3.14159, 2) == "3.14".
std::string fixed_text(double value, int decimals);
// Shortest text that reads back as the same double.
std::string shortest_text(double value);
// Lower-case hexadecimal, 16 digits.
std::string hex64(std::uint64_t v);

// The first line (from 1) of a TOML text with a key of more than kDeepestKey dotted parts, 0 if there is
// none. toml++ walks such a key by recursion, so it must be refused before. Dots count while only keys,
// quotes and blanks lie between them; that many in a text or a comment are refused too.
inline constexpr std::size_t kDeepestKey = 128;
inline constexpr const char* kDeepKey = "a key with more than 128 dotted parts";
std::size_t line_with_deep_key(std::string_view toml);

}  // namespace perjoule::base
