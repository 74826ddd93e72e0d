#include "bench/bus/blocks.hpp"

namespace perjoule::bench {

std::pair<std::string, std::string> BlockMaker::encode(const EventBatch& batch) {
  if (++uses_ % 16 == 0) renew();
  return {joules(batch), samples(batch)};
}

// Names of requests pile up, so the table is begun anew now and then.
void BlockMaker::renew() {
  symbols_ = std::make_unique<base::SymbolTable>();
  const Names& n = names();
  const auto intern = [&](const std::vector<std::string>& texts, std::vector<base::Symbol>& out) {
    out.clear();
    for (const auto& t : texts) out.push_back(symbols_->intern(t));
  };
  intern(n.devices, devices_);
  intern(n.tenants, tenants_);
  intern(n.models, models_);
  intern(n.epochs, epochs_);
  intern(n.kernels, kernels_);
  intern(n.phases, phases_);
  intern(n.signals, signals_);
  source_ = symbols_->intern("generator");
  method_ = symbols_->intern("serving-tokens/1");
  joules_ = std::make_unique<bus::TableBuilder>(bus::Table::kJoules, *symbols_, bus::kMaxBlockRows);
  samples_ = std::make_unique<bus::TableBuilder>(bus::Table::kSamples, *symbols_, bus::kMaxBlockRows);
}

std::string BlockMaker::joules(const EventBatch& batch) {
  const Attributions& a = batch.joules;
  requests_.clear();
  for (std::size_t i = 0; i < batch.request_id.size(); ++i)
    requests_.push_back(symbols_->intern(batch.name(i)));
  energy::JouleRow row;
  row.quality = energy::Quality::kMeasured;
  row.method = method_;
  row.source = source_;
  row.seq = batch.seq;
  for (std::size_t i = 0; i < a.size(); ++i) {
    row.window_ns = a.window_ns[i];
    row.t0_ns = a.t0_ns[i];
    row.t1_ns = a.t1_ns[i];
    row.meter = row.device = devices_[a.device[i]];
    row.energy_uj = a.energy_uj[i];
    row.share = static_cast<energy::Share>(a.share[i]);
    row.consumer.tenant = tenants_[a.tenant[i]];
    row.consumer.model = models_[a.model[i]];
    row.consumer.epoch = epochs_[a.epoch[i]];
    row.consumer.request = requests_[a.request[i]];
    row.consumer.kernel = kernels_[a.kernel[i]];
    row.consumer.phase = phases_[a.phase[i]];
    joules_->append(row);
  }
  return finish(*joules_, bus::Table::kJoules, name_ + "/joules", batch.seq);
}

std::string BlockMaker::samples(const EventBatch& batch) {
  const Samples& s = batch.samples;
  energy::SampleRow row;
  row.quality = energy::Quality::kMeasured;
  row.source = source_;
  row.seq = batch.seq;
  for (std::size_t i = 0; i < s.size(); ++i) {
    row.t_ns = s.t_ns[i];
    row.device = devices_[s.device[i]];
    row.signal = signals_[s.signal[i]];
    row.value = s.value[i];
    samples_->append(row);
  }
  return finish(*samples_, bus::Table::kSamples, name_ + "/samples", batch.seq);
}

std::string BlockMaker::finish(bus::TableBuilder& builder, bus::Table table, std::string_view source,
                               std::uint64_t seq) {
  if (builder.rows() == 0) return {};
  bus::Batch rows = builder.take();
  auto block = bus::encode_block(table, rows, {source, seq - 1, seq, seq});
  builder.give_back(std::move(rows));
  return std::move(block).value();
}

}  // namespace perjoule::bench
