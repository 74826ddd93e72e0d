#include "energy/signal_catalogue.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perjoule::energy {
namespace {

#include "energy/generated/signal_catalogue.inc"
static_assert(std::size(kSignals) == kSignalCount);

template <class E, std::size_t N>
std::string_view at(const std::array<std::string_view, N>& names, E value) {
  return names.at(static_cast<std::size_t>(value));
}

// True when `inner` is `outer` or lies inside it.
bool within(std::uint8_t inner, std::uint8_t outer) {
  while (inner != kNoOverlapGroup && inner != outer) inner = kOverlapGroups[inner].inside;
  return inner != kNoOverlapGroup;
}

std::string clash(const SignalInfo& a, const SignalInfo& b) {
  if (a.number == b.number) return "it stands twice in the sum";
  const std::string names = std::string(a.name) + " and " + std::string(b.name);
  if (a.overlap_group == b.overlap_group)
    return names + " measure the same: " + std::string(kOverlapGroups[a.overlap_group].title);
  const bool a_holds_b = within(b.overlap_group, a.overlap_group);
  return std::string(a_holds_b ? a.name : b.name) + " already contains " +
         std::string(a_holds_b ? b.name : a.name);
}

}  // namespace

std::string_view name_of(SignalKind k) { return at(kSignalKindNames, k); }
std::string_view name_of(SignalDomain d) { return at(kSignalDomainNames, d); }
std::string_view name_of(Sampling s) { return at(kSamplingNames, s); }
std::string_view name_of(Via v) { return at(kViaNames, v); }
std::string_view name_of(Derive d) { return at(kDeriveNames, d); }

std::span<const SignalInfo> signal_catalogue() { return kSignals; }
std::span<const OverlapGroup> overlap_groups() { return kOverlapGroups; }

const SignalInfo& signal_info(SignalNumber number) {
  const SignalId id = number;
  PJ_CHECK(id.valid());
  return kSignals[id.number - 1U];
}

base::Result<const SignalInfo*> find_signal(std::string_view name) {
  const auto* found = std::find_if(std::begin(kSignals), std::end(kSignals),
                                   [&](const SignalInfo& s) { return s.name == name; });
  if (found != std::end(kSignals)) return found;
  std::vector<std::string> names;
  for (const auto& s : kSignals) names.emplace_back(s.name);
  return base::bad_input("find a signal", std::string(name), "the catalogue has no signal of this name",
                         base::nearest_name_hint(name, names));
}

base::Result<const SignalInfo*> find_signal(std::uint16_t number) {
  if (SignalId(number).valid()) return &kSignals[number - 1U];
  return base::bad_input("find a signal", std::to_string(number),
                         "the catalogue has no signal of this number",
                         "Numbers are 1 to " + std::to_string(kSignalCount) + ".");
}

bool may_add(SignalNumber a, SignalNumber b) {
  const auto ga = signal_info(a).overlap_group, gb = signal_info(b).overlap_group;
  return a != b && !within(ga, gb) && !within(gb, ga);
}

base::Status check_sum(std::span<const SignalNumber> terms) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t j = i + 1; j < terms.size(); ++j) {
      if (may_add(terms[i], terms[j])) continue;
      const auto &a = signal_info(terms[i]), &b = signal_info(terms[j]);
      return base::bad_input("add signals", std::string(a.name) + " + " + std::string(b.name), clash(a, b),
                             "Leave one of the two out.");
    }
  }
  return base::ok_status();
}

}  // namespace perjoule::energy
