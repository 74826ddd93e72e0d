#include "bus/source_chains.hpp"

#include <algorithm>

namespace perjoule::bus {

Admission SourceChains::admit(const BlockKey& key) {
  auto found = marks_.find(key.source);
  if (found == marks_.end()) {
    if (marks_.size() >= kMaxSources) return Admission::kTooMany;
    found = marks_.emplace(std::string(key.source), Marks{}).first;
  }
  Marks& m = found->second;
  if (key.last_seq <= m.stored) return Admission::kStored;
  if (key.last_seq <= m.accepted) return Admission::kInFlight;
  if (key.after_seq != m.accepted) return Admission::kBroken;
  m.accepted = key.last_seq;
  return Admission::kNew;
}

void SourceChains::mark_stored(std::string_view source, std::uint64_t last_seq) {
  auto found = marks_.find(source);
  if (found == marks_.end()) found = marks_.emplace(std::string(source), Marks{}).first;
  Marks& m = found->second;
  m.stored = std::max(m.stored, last_seq);
  m.accepted = std::max(m.accepted, m.stored);
}

void SourceChains::forget_accepted() {
  for (auto& [source, m] : marks_) m.accepted = m.stored;
}

std::uint64_t SourceChains::stored_through(std::string_view source) const {
  const auto found = marks_.find(source);
  return found == marks_.end() ? 0 : found->second.stored;
}

std::uint64_t SourceChains::accepted_through(std::string_view source) const {
  const auto found = marks_.find(source);
  return found == marks_.end() ? 0 : found->second.accepted;
}

void SourceChains::mark_written(std::string_view source) {
  const auto found = marks_.find(source);
  if (found == marks_.end()) return;
  found->second.written = found->second.stored;
  written_.push_back(&found->second);
}

void SourceChains::mark_synced() {
  for (Marks* m : written_) m->synced = m->written;
  written_.clear();
}

std::map<std::string, std::uint64_t> SourceChains::synced() const {
  std::map<std::string, std::uint64_t> out;
  for (const auto& [source, m] : marks_) {
    if (m.synced != 0) out.emplace(source, m.synced);
  }
  return out;
}

}  // namespace perjoule::bus
