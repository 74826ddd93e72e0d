#include "ledger/settlement.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/apportion.hpp"

namespace perjoule::ledger {

using base::Microjoules;
using energy::Consumer;
using energy::JouleRow;
using energy::MeterId;
using energy::Share;

namespace {

// What overhead is passed on to: the consumers of one tenant, job and model.
struct Group {
  energy::Symbol tenant, job, model;
  explicit Group(const Consumer& c) : tenant(c.tenant), job(c.job), model(c.model) {}
  bool operator==(const Group&) const = default;
  Consumer consumer() const { return {tenant, job, model}; }
};

struct GroupHash {
  std::size_t operator()(const Group& g) const {
    return ((static_cast<std::uint64_t>(g.tenant.id) << 32 | g.job.id) * 0x9e3779b97f4a7c15ULL) ^ g.model.id;
  }
};

// Energy of a group below a meter in this window.
struct GroupEnergy {
  Group group;
  std::uint32_t number = 0;  // of the group, the same in all windows
  std::int64_t uj = 0;
};

}  // namespace

class Settlement::Impl {
 public:
  Impl(const energy::MeterTree& tree, base::SymbolTable& symbols, RowSink& sink)
      : tree_(tree),
        sink_(sink),
        states_(tree.size()),
        idle_method_(symbols.intern("idle-holder/1")),
        overhead_method_(symbols.intern("overhead-proportional/1")),
        loss_method_(symbols.intern("loss-proportional/1")),
        residual_method_(symbols.intern("residual/1")) {
    for (std::uint32_t m = 0; m < tree.size(); ++m) {
      const energy::Meter& meter = tree[MeterId{m}];
      states_[m].kind = symbols.intern(energy::name_of(meter.device.kind));
      states_[m].parent_name = meter.parent.valid() ? tree[meter.parent].name : energy::Symbol{};
    }
  }

  void begin_window(base::TimePoint t0, base::TimePoint t1) {
    PJ_CHECK(t0 < t1);
    t0_ = t0, t1_ = t1;
    rows_.clear();
    for (State& s : states_) {
      s.settled = false;
      s.first_row = s.last_row = kNoRow;
      s.groups.clear();
    }
  }

  void settle_leaf(const Reading& reading) {
    State& s = open(reading.meter, reading.energy, reading.provenance);
    PJ_DCHECK(tree_.is_leaf(reading.meter));
    const std::int64_t total = reading.energy.value();
    const bool worked = !reading.claims.empty();
    const std::int64_t idle = worked ? std::clamp(reading.idle.value(), std::min<std::int64_t>(total, 0),
                                                  std::max<std::int64_t>(total, 0))
                                     : total;
    if (worked) split_direct(reading, total - idle);
    if (idle != 0 || s.first_row == kNoRow) {
      add_row(reading.meter, idle, Share::kIdle, idle_method_, reading.holder);
      add_energy(s.groups, Group(reading.holder), idle);
    }
  }

  void settle_overhead_leaf(MeterId meter, Microjoules energy, const energy::Provenance& provenance,
                            MeterId scope) {
    State& s = open(meter, energy, provenance);
    s.scope = scope;
    s.pass_on = energy.value();
    s.is_overhead = true;
  }

  void settle_parent(MeterId meter, Microjoules energy, const energy::Provenance& provenance,
                     Microjoules loss) {
    State& s = open(meter, energy, provenance);
    PJ_DCHECK(!tree_.is_leaf(meter));
    s.scope = meter;
    s.pass_on = loss.value();
    s.is_overhead = false;
  }

  void end_window() {
    for (const State& s : states_) PJ_CHECK(s.settled);
    gather_groups();
    for (std::uint32_t m = 0; m < states_.size(); ++m) pass_on(MeterId{m});
    emit();
    ++totals_.windows;
  }

  const Totals& totals() const { return totals_; }

 private:
  static constexpr std::uint32_t kNoRow = UINT32_MAX;
  struct State {
    energy::Symbol kind, parent_name;
    bool settled = false;
    bool is_overhead = false;
    std::int64_t energy = 0;
    energy::Provenance provenance;
    MeterId scope;
    std::int64_t pass_on = 0;
    std::uint32_t first_row = kNoRow, last_row = kNoRow;  // linked list in rows_
    std::vector<GroupEnergy> groups;
  };
  struct Row {
    std::int64_t energy = 0;
    Share share = Share::kResidual;
    energy::Symbol method;
    Consumer consumer;
    std::uint32_t next = kNoRow;
  };

  State& open(MeterId meter, Microjoules energy, const energy::Provenance& provenance) {
    State& s = states_[meter.index];
    PJ_CHECK(!s.settled);
    s.settled = true;
    s.energy = energy.value();
    s.provenance = provenance;
    s.scope = {};
    s.pass_on = 0;
    return s;
  }

  void add_row(MeterId meter, std::int64_t energy, Share share, energy::Symbol method,
               const Consumer& consumer) {
    State& s = states_[meter.index];
    const auto index = static_cast<std::uint32_t>(rows_.size());
    rows_.push_back({energy, share, method, consumer, kNoRow});
    (s.first_row == kNoRow ? s.first_row : rows_[s.last_row].next) = index;
    s.last_row = index;
  }

  // Few groups work on one leaf, so a scan of a flat list beats a hash.
  void add_energy(std::vector<GroupEnergy>& groups, const Group& group, std::int64_t uj) {
    for (GroupEnergy& g : groups) {
      if (g.group == group) {
        g.uj += uj;
        return;
      }
    }
    const auto [it, added] = group_numbers_.try_emplace(group, static_cast<std::uint32_t>(places_.size()));
    if (added) places_.push_back({});
    groups.push_back({group, it->second, uj});
  }

  void split_direct(const Reading& reading, std::int64_t direct) {
    const std::size_t n = reading.claims.size();
    weights_.resize(n);
    shares_.resize(n);
    for (std::size_t i = 0; i < n; ++i) weights_[i] = reading.claims[i].weight;
    base::apportion(direct, weights_, shares_);
    State& s = states_[reading.meter.index];
    for (std::size_t i = 0; i < n; ++i) {
      if (shares_[i] == 0) continue;
      add_row(reading.meter, shares_[i], Share::kDirect, reading.direct_method, reading.claims[i].consumer);
      add_energy(s.groups, Group(reading.claims[i].consumer), shares_[i]);
    }
  }

  // Children come after their parents in the tree, so one backward pass carries every group up to the root.
  // Thousands of groups may meet there: each knows its place in the list being made.
  void gather_groups() {
    for (std::size_t m = states_.size(); m-- > 0;) {
      std::vector<GroupEnergy>& groups = states_[m].groups;
      const auto& children = tree_.children(MeterId{static_cast<std::uint32_t>(m)});
      if (children.empty()) continue;
      ++lists_;
      for (std::size_t c = children.size(); c-- > 0;) {
        for (const GroupEnergy& g : states_[children[c].index].groups) {
          Place& place = places_[g.number];
          if (place.list != lists_) {
            place = {lists_, groups.size()};
            groups.push_back(g);
          } else {
            groups[place.index].uj += g.uj;
          }
        }
      }
    }
  }

  std::int64_t own_energy(MeterId meter) const {
    std::int64_t own = states_[meter.index].energy;
    for (const MeterId child : tree_.children(meter)) own -= states_[child.index].energy;
    return own;
  }

  void pass_on(MeterId meter) {
    State& s = states_[meter.index];
    if (!s.scope.valid()) return;
    const std::int64_t own = own_energy(meter);
    const std::int64_t overhead =
        std::clamp(s.pass_on, std::min<std::int64_t>(own, 0), std::max<std::int64_t>(own, 0));
    const std::int64_t passed =
        split_overhead(meter, overhead, s.is_overhead ? overhead_method_ : loss_method_);
    const std::int64_t residual = own - passed;
    if (residual != 0 || s.first_row == kNoRow)
      add_row(meter, residual, Share::kResidual, residual_method_, {});
  }

  // Returns what could be passed on: all of it, or nothing where nobody used energy below the scope.
  std::int64_t split_overhead(MeterId meter, std::int64_t overhead, energy::Symbol method) {
    const auto& groups = states_[states_[meter.index].scope.index].groups;
    weights_.clear();
    double sum = 0.0;
    for (const GroupEnergy& g : groups) {
      weights_.push_back(static_cast<double>(std::max<std::int64_t>(g.uj, 0)));
      sum += weights_.back();
    }
    if (overhead == 0 || !(sum > 0.0)) return 0;
    shares_.resize(weights_.size());
    base::apportion(overhead, weights_, shares_);
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (shares_[i] != 0) add_row(meter, shares_[i], Share::kOverhead, method, groups[i].group.consumer());
    }
    return overhead;
  }

  void emit() {
    for (std::uint32_t m = 0; m < states_.size(); ++m) {
      const State& s = states_[m];
      const energy::Meter& meter = tree_[MeterId{m}];
      const energy::Device& d = meter.device;
      sink_.meter({t0_.ns, t0_.ns, t1_.ns, meter.name, s.parent_name, d.site, d.rack, d.node, d.name, s.kind,
                   meter.zone, s.energy, s.provenance.quality, s.provenance.source,
                   s.provenance.uncertainty_ppm});
      ++totals_.meter_rows;
    }
    for (std::uint32_t m = 0; m < states_.size(); ++m) emit_rows(MeterId{m});
  }

  void emit_rows(MeterId id) {
    const State& s = states_[id.index];
    const energy::Meter& meter = tree_[id];
    for (std::uint32_t r = s.first_row; r != kNoRow; r = rows_[r].next) {
      const Row& row = rows_[r];
      sink_.joule({t0_.ns, t0_.ns, t1_.ns, meter.name, meter.device.name, row.energy, row.share,
                   energy::worse(s.provenance.quality, energy::Quality::kDerived), row.method,
                   s.provenance.uncertainty_ppm, row.consumer, s.provenance.source, ++seq_});
      ++totals_.joule_rows;
      total_of(row.share) += Microjoules(row.energy);
    }
  }

  Microjoules& total_of(Share share) {
    switch (share) {
      case Share::kDirect:
        return totals_.direct;
      case Share::kIdle:
        return totals_.idle;
      case Share::kOverhead:
        return totals_.overhead;
      case Share::kResidual:
        return totals_.residual;
    }
    return totals_.residual;
  }

  const energy::MeterTree& tree_;
  RowSink& sink_;
  std::vector<State> states_;
  std::vector<Row> rows_;
  std::unordered_map<Group, std::uint32_t, GroupHash> group_numbers_;
  struct Place {
    std::uint64_t list = 0;  // the list the group was last put in
    std::size_t index = 0;
  };
  std::vector<Place> places_;  // by group number
  std::uint64_t lists_ = 0;
  std::vector<double> weights_;
  std::vector<std::int64_t> shares_;
  energy::Symbol idle_method_, overhead_method_, loss_method_, residual_method_;
  base::TimePoint t0_, t1_;
  std::int64_t seq_ = 0;
  Totals totals_;
};

Settlement::Settlement(const energy::MeterTree& tree, base::SymbolTable& symbols, RowSink& sink)
    : impl_(std::make_unique<Impl>(tree, symbols, sink)) {}
Settlement::~Settlement() = default;
void Settlement::begin_window(base::TimePoint t0, base::TimePoint t1) { impl_->begin_window(t0, t1); }
void Settlement::settle_leaf(const Reading& reading) { impl_->settle_leaf(reading); }
void Settlement::settle_overhead_leaf(MeterId meter, Microjoules energy, const energy::Provenance& provenance,
                                      MeterId scope) {
  impl_->settle_overhead_leaf(meter, energy, provenance, scope);
}
void Settlement::settle_parent(MeterId meter, Microjoules energy, const energy::Provenance& provenance,
                               Microjoules expected_loss) {
  impl_->settle_parent(meter, energy, provenance, expected_loss);
}
void Settlement::end_window() { impl_->end_window(); }
const Settlement::Totals& Settlement::totals() const { return impl_->totals(); }

}  // namespace perjoule::ledger
