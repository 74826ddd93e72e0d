#include "compose/run_sink.hpp"

#include <algorithm>
#include <tuple>

namespace perjoule::compose {

using base::Microjoules;
using energy::Share;

namespace {

template <class T>
T& slot(std::vector<T>& v, base::Symbol s) {
  if (v.size() <= s.id) v.resize(std::max<std::size_t>(s.id + 1, v.size() * 2));
  return v[s.id];
}
template <class T>
T value_at(const std::vector<T>& v, base::Symbol s) {
  return s.id < v.size() ? v[s.id] : T{};
}

}  // namespace

void RunSink::keep(const base::Status& status) {
  if (status.ok() || failed_) return;
  failed_ = true;
  error_ = status.error();
}

void RunSink::meter(const energy::MeterRow& row) {
  slot(by_meter_, row.meter) += row.energy_uj;
  if (store_ != nullptr) keep(store_->append(row));
}

void RunSink::joule(const energy::JouleRow& row) {
  const double grams = static_cast<double>(row.energy_uj) * grams_per_uj_;
  const energy::Consumer& c = row.consumer;
  if (row.share == Share::kIdle) slot(idle_by_meter_, row.meter) += row.energy_uj;
  if (!c.request.empty()) {
    Energy& e = slot(by_request_, c.request);
    e.uj += row.energy_uj;
    e.grams += grams;
    serving_direct_ += row.energy_uj;
  }
  Job& job = slot(by_job_, c.job);
  job.energy.uj += row.energy_uj;
  job.energy.grams += grams;
  Group& group = group_of(c, job);
  group.by_share[static_cast<std::size_t>(row.share)] += row.energy_uj;
  group.grams += grams;
  if (store_ != nullptr) keep(store_->append(row));
}

RunSink::Group& RunSink::group_of(const energy::Consumer& c, Job& job) {
  if (job.group != kNoGroup) {
    Group& last = groups_[job.group];
    if (last.consumer.tenant == c.tenant && last.consumer.model == c.model) return last;
  }
  const GroupKey key{(static_cast<std::uint64_t>(c.tenant.id) << 32) | c.job.id, c.model.id};
  const auto [it, added] = group_index_.try_emplace(key, static_cast<std::uint32_t>(groups_.size()));
  if (added) groups_.push_back({{c.tenant, c.job, c.model}, {}, 0.0});
  job.group = it->second;
  return groups_[job.group];
}

void RunSink::finish_request(const energy::RequestRow& row) { finished_.push_back(row); }

base::Status RunSink::write_requests() {
  for (energy::RequestRow row : finished_) {
    const Energy e = value_at(by_request_, row.request);
    row.energy_uj = e.uj;
    row.carbon_g = e.grams;
    PJ_TRY(store_->append(row));
  }
  return base::ok_status();
}

std::pair<std::int64_t, double> RunSink::job_energy(base::Symbol job) const {
  const Energy e = value_at(by_job_, job).energy;
  return {e.uj, e.grams};
}

void RunSink::fill(RunSummary& out, const plant::Hall& hall) const {
  const energy::MeterTree& tree = hall.meters();
  for (std::uint32_t m = 0; m < tree.size(); ++m) {
    const energy::Meter& meter = tree[{m}];
    const Microjoules e(value_at(by_meter_, meter.name));
    switch (meter.device.kind) {
      case energy::DeviceKind::kSite:
        out.site += e;
        break;
      case energy::DeviceKind::kNode:
      case energy::DeviceKind::kSwitch:
        out.it += e;
        break;
      case energy::DeviceKind::kGpu:
        out.gpu += e;
        out.gpu_idle += Microjoules(value_at(idle_by_meter_, meter.name));
        break;
      default:
        if (meter.zone == symbols_.find("cooling") && tree.is_leaf({m})) out.cooling += e;
    }
  }
  for (const plant::GpuWindow& g : hall.gpus()) {
    if (g.replica >= 0) out.serving_gpu += Microjoules(value_at(by_meter_, tree[g.meter].name));
  }
  out.serving_direct = Microjoules(serving_direct_);
  for (const Group& g : groups_) {
    if (g.consumer == energy::Consumer{}) continue;
    out.consumers.push_back({std::string(symbols_.text(g.consumer.tenant)),
                             std::string(symbols_.text(g.consumer.job)),
                             std::string(symbols_.text(g.consumer.model)), Microjoules(g.by_share[0]),
                             Microjoules(g.by_share[1]), Microjoules(g.by_share[2])});
  }
  std::sort(out.consumers.begin(), out.consumers.end(), [](const ConsumerEnergy& a, const ConsumerEnergy& b) {
    return a.total() != b.total() ? a.total() > b.total()
                                  : std::tie(a.tenant, a.job) < std::tie(b.tenant, b.job);
  });
}

}  // namespace perjoule::compose
