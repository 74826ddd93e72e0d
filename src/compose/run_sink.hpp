// Where settled rows go in a run: to the store if there is one, and into the sums that the summary shows.
// Thread rule: one thread. Ownership: borrows symbols and store.
#pragma once

#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bus/store.hpp"
#include "compose/run.hpp"
#include "ledger/settlement.hpp"
#include "plant/hall.hpp"

namespace perjoule::compose {

class RunSink final : public ledger::RowSink {
 public:
  RunSink(base::SymbolTable& symbols, bus::StoreWriter* store) : symbols_(symbols), store_(store) {}

  // Grams per kWh of the window's energy; NaN = not known.
  void begin_window(double g_per_kwh) { grams_per_uj_ = g_per_kwh / 3.6e12; }
  void meter(const energy::MeterRow& row) override;
  void joule(const energy::JouleRow& row) override;
  // Keeps the row; its energy and carbon are those of its direct rows, complete only at the end of its
  // window.
  void finish_request(const energy::RequestRow& row);
  base::Status write_requests();
  std::pair<std::int64_t, double> job_energy(base::Symbol job) const;
  // The first error of the store.
  base::Status status() const { return failed_ ? base::Status(error_) : base::ok_status(); }
  void fill(RunSummary& out, const plant::Hall& hall) const;

 private:
  struct Energy {
    std::int64_t uj = 0;
    double grams = 0.0;
  };
  struct Group {
    energy::Consumer consumer;
    std::array<std::int64_t, 4> by_share{};
    double grams = 0.0;
  };
  static constexpr std::uint32_t kNoGroup = UINT32_MAX;
  struct Job {
    Energy energy;
    std::uint32_t group = kNoGroup;  // the one seen last with this job; nearly always the same
  };
  struct GroupKey {
    std::uint64_t a = 0, b = 0;
    bool operator==(const GroupKey&) const = default;
  };
  struct GroupHash {
    std::size_t operator()(const GroupKey& k) const { return k.a * 0x9e3779b97f4a7c15ULL ^ k.b; }
  };
  void keep(const base::Status& status);
  Group& group_of(const energy::Consumer& consumer, Job& job);

  base::SymbolTable& symbols_;
  bus::StoreWriter* store_;
  double grams_per_uj_ = energy::kAbsent;
  std::vector<Energy> by_request_;  // by symbol
  std::vector<Job> by_job_;         // by symbol; no job is a job too
  std::vector<Group> groups_;
  std::unordered_map<GroupKey, std::uint32_t, GroupHash> group_index_;
  std::vector<energy::RequestRow> finished_;
  std::vector<std::int64_t> by_meter_;  // by symbol of the meter, readings
  std::vector<std::int64_t> idle_by_meter_;
  std::int64_t serving_direct_ = 0;
  bool failed_ = false;
  base::Error error_;
};

}  // namespace perjoule::compose
