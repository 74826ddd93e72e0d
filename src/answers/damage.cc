#include "answers/damage.hpp"

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "base/time.hpp"

namespace perjoule::answers {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const bus::Finding& f) {
  Json j{{"file", f.file}, {"table", f.table}, {"byte", f.byte}};
  j["rows"] = f.rows_known ? Json(f.rows) : Json(nullptr);
  if (f.time.known) j["first_ns"] = f.time.first_ns, j["last_ns"] = f.time.last_ns;
  if (!f.numbers.empty()) j["numbers"] = f.numbers;
  j["why"] = f.why;
  return j;
}

Json json_of(const std::vector<bus::Finding>& left_out) {
  Json all = Json::array();
  for (const auto& f : left_out) all.push_back(json_of(f));
  return all;
}

}  // namespace

DamageTotal total_of(const std::vector<bus::Finding>& left_out) {
  DamageTotal out;
  for (const auto& f : left_out) {
    ++out.parts;
    out.rows += f.rows;
    out.all_rows_known = out.all_rows_known && f.rows_known;
    out.time.include(f.time);
  }
  return out;
}

std::string damage_text(const std::vector<bus::Finding>& left_out) {
  if (left_out.empty()) return {};
  const DamageTotal t = total_of(left_out);
  std::string out = "NOT COMPLETE: " + std::to_string(t.parts) +
                    (t.parts == 1 ? " damaged part is left out, " : " damaged parts are left out, ") +
                    (t.all_rows_known ? "" : "at least ") +
                    base::group_digits(static_cast<std::int64_t>(t.rows)) + " rows";
  if (t.time.known)
    out +=
        " from " + base::format_iso8601({t.time.first_ns}) + " to " + base::format_iso8601({t.time.last_ns});
  return out + " (perjoule audit lists them)";
}

std::string damage_json(const std::vector<bus::Finding>& left_out) { return json_of(left_out).dump(); }

std::string mark_json(std::string document, const std::vector<bus::Finding>& left_out) {
  if (left_out.empty()) return document;
  Json j = Json::parse(document, nullptr, false);
  if (!j.is_object()) return document;
  j["damaged"] = json_of(left_out);
  return j.dump(1) + "\n";
}

std::string mark_html(std::string page, const std::vector<bus::Finding>& left_out) {
  const std::size_t main = page.find("<main");
  if (left_out.empty() || main == std::string::npos) return page;
  // Only digits, dates and words of ours: nothing of the store's own texts.
  return page.insert(main, "<p role=\"alert\"><strong>" + damage_text(left_out) + "</strong></p>");
}

}  // namespace perjoule::answers
