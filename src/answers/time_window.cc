#include "answers/time_window.hpp"

#include "answers/store_view.hpp"
#include "base/time.hpp"

namespace perjoule::answers {
namespace {

base::Result<std::int64_t> moment(const std::string& text, std::int64_t otherwise,
                                  const bus::StoreReader& store) {
  if (text.empty()) return otherwise;
  if (text.front() != '-') {
    PJ_ASSIGN(const auto t, base::parse_iso8601(text));
    return t.ns;
  }
  PJ_ASSIGN(const auto back, base::parse_duration(text.substr(1)));
  PJ_ASSIGN(const auto span, span_of(store));
  return span.end_ns - back.ns;
}

}  // namespace

base::Result<bus::TimeWindow> read_window(const std::string& from, const std::string& to,
                                          const bus::StoreReader& store) {
  bus::TimeWindow w;
  PJ_ASSIGN(w.from_ns, moment(from, w.from_ns, store));
  PJ_ASSIGN(w.to_ns, moment(to, w.to_ns, store));
  if (from.empty() && to.empty()) return w;
  PJ_ASSIGN(const auto span, span_of(store));
  if (w.from_ns < w.to_ns && w.from_ns < span.end_ns && w.to_ns > span.first_ns) return w;
  return base::bad_input("read the window", "--from, --to", "nothing of the store lies in it",
                         "The store goes from " + base::format_iso8601({span.first_ns}) + " to " +
                             base::format_iso8601({span.end_ns}));
}

}  // namespace perjoule::answers
