#include "bus/pick_rows.hpp"

namespace perjoule::bus {
namespace {

template <class T>
void pick(const std::vector<T>& from, const std::vector<std::uint32_t>& rows, std::vector<T>& to) {
  if (from.empty()) return;
  for (const auto row : rows) to.push_back(from[row]);
}

}  // namespace

Column picked_rows(const Column& from, const std::vector<std::uint32_t>& rows) {
  Column out;
  out.type = from.type;
  pick(from.ints, rows, out.ints);
  pick(from.doubles, rows, out.doubles);
  pick(from.bools, rows, out.bools);
  pick(from.codes, rows, out.codes);
  pick(from.valid, rows, out.valid);
  std::vector<std::uint32_t> place(from.dictionary.size(), kNullCode);
  for (auto& code : out.codes) {
    if (code == kNullCode) continue;
    if (place[code] == kNullCode) {
      place[code] = static_cast<std::uint32_t>(out.dictionary.size());
      out.dictionary.push_back(from.dictionary[code]);
    }
    code = place[code];
  }
  return out;
}

}  // namespace perjoule::bus
