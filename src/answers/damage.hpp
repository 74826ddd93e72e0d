// How an answer says that it is not whole: what a reader that passes over damage has left out
// (bus::StoreReader::open_without_damage). Thread rule: pure functions. Ownership: values.
#pragma once

#include <string>
#include <vector>

#include "bus/store.hpp"

namespace perjoule::answers {

struct DamageTotal {
  std::uint64_t parts = 0, rows = 0;
  bool all_rows_known = true;  // false: there may be more
  bus::TimeRange time;
};
DamageTotal total_of(const std::vector<bus::Finding>& left_out);
// "NOT COMPLETE: 2 damaged parts are left out, 40 rows from ... to ...". Empty for no damage.
std::string damage_text(const std::vector<bus::Finding>& left_out);
// [{"file", "table", "byte", "rows", "first_ns", "last_ns", "numbers", "why"}]; rows null where not known.
std::string damage_json(const std::vector<bus::Finding>& left_out);
// A JSON object with the field `damaged` at its end; a page with a banner. Unchanged for no damage.
std::string mark_json(std::string document, const std::vector<bus::Finding>& left_out);
std::string mark_html(std::string page, const std::vector<bus::Finding>& left_out);

}  // namespace perjoule::answers
