#include "bus/tables.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perjoule::bus {
namespace {

using energy::Symbol;
constexpr auto kInt = ColumnType::kInt64;
constexpr auto kDouble = ColumnType::kDouble;
constexpr auto kBool = ColumnType::kBool;
constexpr auto kText = ColumnType::kText;
constexpr std::array<std::string_view, 2> kCarbonKindNames{"average", "marginal"};

constexpr std::array kMeters = std::to_array<ColumnSpec>({{"window_ns", kInt},
                                                          {"t0_ns", kInt},
                                                          {"t1_ns", kInt},
                                                          {"meter", kText, true},
                                                          {"parent", kText, true},
                                                          {"site", kText, true},
                                                          {"rack", kText, true},
                                                          {"node", kText, true},
                                                          {"device", kText, true},
                                                          {"kind", kText, true},
                                                          {"zone", kText, true},
                                                          {"energy_uj", kInt},
                                                          {"quality", kText},
                                                          {"source", kText, true},
                                                          {"uncertainty_ppm", kInt}});
constexpr std::array kJoules = std::to_array<ColumnSpec>({{"window_ns", kInt},
                                                          {"t0_ns", kInt},
                                                          {"t1_ns", kInt},
                                                          {"meter", kText, true},
                                                          {"device", kText, true},
                                                          {"energy_uj", kInt},
                                                          {"share", kText},
                                                          {"quality", kText},
                                                          {"method", kText, true},
                                                          {"uncertainty_ppm", kInt},
                                                          {"tenant", kText, true},
                                                          {"job", kText, true},
                                                          {"model", kText, true},
                                                          {"run", kText, true},
                                                          {"epoch", kText, true},
                                                          {"step", kText, true},
                                                          {"request", kText, true, true},
                                                          {"kernel", kText, true},
                                                          {"phase", kText, true, false, 2},
                                                          {"source", kText, true},
                                                          {"seq", kInt}});
constexpr std::array kSamples = std::to_array<ColumnSpec>({{"t_ns", kInt},
                                                           {"device", kText, true},
                                                           {"signal", kText, true},
                                                           {"value", kDouble, true},
                                                           {"quality", kText},
                                                           {"window_ms", kDouble, true},
                                                           {"source", kText, true},
                                                           {"seq", kInt}});
constexpr std::array kRequests = std::to_array<ColumnSpec>({{"request", kText, true, true},
                                                            {"tenant", kText, true},
                                                            {"model", kText, true},
                                                            {"t_arrival_ns", kInt},
                                                            {"t_done_ns", kInt},
                                                            {"input_tokens", kInt},
                                                            {"output_tokens", kInt},
                                                            {"latency_ms", kDouble, true},
                                                            {"ttft_ms", kDouble, true},
                                                            {"slo_met", kBool},
                                                            {"energy_uj", kInt},
                                                            {"carbon_g", kDouble, true}});
constexpr std::array kJobs = std::to_array<ColumnSpec>({{"job", kText, true},
                                                        {"tenant", kText, true},
                                                        {"model", kText, true},
                                                        {"nodes", kInt},
                                                        {"gpus", kInt},
                                                        {"t_submit_ns", kInt},
                                                        {"t_start_ns", kInt, true},
                                                        {"t_end_ns", kInt, true},
                                                        {"energy_uj", kInt},
                                                        {"carbon_g", kDouble, true}});
constexpr std::array kDecisions = std::to_array<ColumnSpec>({{"decision", kText, true},
                                                             {"t_ns", kInt},
                                                             {"policy", kText, true},
                                                             {"target", kText, true},
                                                             {"action", kText, true},
                                                             {"value_before", kDouble, true},
                                                             {"value_after", kDouble, true},
                                                             {"reason_hash", kText},
                                                             {"why", kText, true},
                                                             {"expected_saving_uj", kInt},
                                                             {"bound_uj", kInt},
                                                             {"expires_ns", kInt, true},
                                                             {"outcome", kText, true},
                                                             {"undone", kBool}});
constexpr std::array kCarbon = std::to_array<ColumnSpec>({{"t0_ns", kInt},
                                                          {"t1_ns", kInt},
                                                          {"region", kText, true},
                                                          {"kind", kText},
                                                          {"g_per_kwh", kDouble, true},
                                                          {"quality", kText},
                                                          {"source", kText, true}});
// Rollups: sums over rows of `joules` that are equal in these columns; window_ns and t1_ns (bucket_ns)
// rounded down to whole steps.
constexpr std::array kJoulesByConsumer = std::to_array<ColumnSpec>({{"window_ns", kInt},
                                                                    {"bucket_ns", kInt},
                                                                    {"step_ns", kInt},
                                                                    {"tenant", kText, true},
                                                                    {"job", kText, true},
                                                                    {"model", kText, true},
                                                                    {"share", kText},
                                                                    {"quality", kText},
                                                                    {"energy_uj", kInt},
                                                                    {"rows", kInt}});
constexpr std::array kJoulesByDevice = std::to_array<ColumnSpec>({{"window_ns", kInt},
                                                                  {"bucket_ns", kInt},
                                                                  {"step_ns", kInt},
                                                                  {"device", kText, true},
                                                                  {"phase", kText, true},
                                                                  {"share", kText},
                                                                  {"quality", kText},
                                                                  {"energy_uj", kInt},
                                                                  {"rows", kInt}});
constexpr std::array kJoulesByKernel = std::to_array<ColumnSpec>({{"window_ns", kInt},
                                                                  {"bucket_ns", kInt},
                                                                  {"step_ns", kInt},
                                                                  {"model", kText, true},
                                                                  {"run", kText, true},
                                                                  {"epoch", kText, true},
                                                                  {"kernel", kText, true},
                                                                  {"quality", kText},
                                                                  {"energy_uj", kInt},
                                                                  {"rows", kInt}});
// The newest reading of each device and signal.
constexpr std::array kSamplesLast = std::to_array<ColumnSpec>({{"t_ns", kInt},
                                                               {"device", kText, true},
                                                               {"signal", kText, true},
                                                               {"value", kDouble, true},
                                                               {"quality", kText}});

const std::array<TableSchema, kTableCount> kSchemas{{{"meters", kMeters, 0},
                                                     {"joules", kJoules, 0},
                                                     {"samples", kSamples, 0},
                                                     {"requests", kRequests, 4},
                                                     {"jobs", kJobs, 5},
                                                     {"decisions", kDecisions, 1},
                                                     {"carbon", kCarbon, 0},
                                                     {"joules_by_consumer", kJoulesByConsumer, 0},
                                                     {"joules_by_device", kJoulesByDevice, 0},
                                                     {"joules_by_kernel", kJoulesByKernel, 0},
                                                     {"samples_last", kSamplesLast, 0}}};

}  // namespace

const TableSchema& schema_of(Table table) { return kSchemas[static_cast<std::size_t>(table)]; }

std::optional<Table> find_table(std::string_view name) {
  for (std::size_t i = 0; i < kTableCount; ++i) {
    if (kSchemas[i].name == name) return static_cast<Table>(i);
  }
  return std::nullopt;
}

std::optional<Table> find_event_table(std::string_view name) {
  const auto table = find_table(name);
  return table && takes_events(*table) ? table : std::nullopt;
}

std::vector<std::string> table_names() {
  std::vector<std::string> names = all_table_names();
  names.resize(kEventTables);
  return names;
}

std::vector<std::string> all_table_names() {
  std::vector<std::string> names;
  for (const auto& s : kSchemas) names.emplace_back(s.name);
  return names;
}

// Fills one row column by column, in the schema's order.
class TableBuilder::Row {
 public:
  Row(TableBuilder& builder, Table table)
      : builder_(builder), slot_(builder.slots_.data()), at_(builder.rows_) {
    PJ_CHECK(builder.table_ == table && !builder.full());
  }
  Row& number(std::int64_t v) { return slot_++->column.ints[at_] = v, *this; }
  Row& number(double v) { return slot_++->column.doubles[at_] = v, *this; }
  Row& flag(bool v) { return slot_++->column.bools[at_] = v ? 1 : 0, *this; }
  Row& text(Symbol s) {
    Slot& slot = *slot_++;
    slot.column.codes[at_] = s.id == slot.last_symbol ? slot.last_code : builder_.code_of(slot, s);
    return *this;
  }
  Row& time_or_null(std::int64_t v) {
    Slot& slot = *slot_++;
    const bool is_null = v == energy::kNoTime;
    slot.column.ints[at_] = is_null ? 0 : v;
    if (is_null && slot.column.valid.empty()) slot.column.valid.assign(builder_.capacity_, 1);
    if (is_null) slot.column.valid[at_] = 0;
    return *this;
  }
  void end() {
    PJ_DCHECK(slot_ == builder_.slots_.data() + builder_.slots_.size());
    ++builder_.rows_;
  }

 private:
  TableBuilder& builder_;
  Slot* slot_;
  const std::size_t at_;
};

TableBuilder::TableBuilder(Table table, base::SymbolTable& symbols, std::size_t capacity)
    : table_(table), symbols_(symbols), capacity_(capacity), slots_(schema_of(table).columns.size()) {
  PJ_CHECK(capacity > 0);
  for (std::size_t i = 0; i < qualities_.size(); ++i)
    qualities_[i] = symbols.intern(energy::kQualityNames[i]);
  for (std::size_t i = 0; i < shares_.size(); ++i) shares_[i] = symbols.intern(energy::kShareNames[i]);
  for (std::size_t i = 0; i < carbon_kinds_.size(); ++i)
    carbon_kinds_[i] = symbols.intern(kCarbonKindNames[i]);
}

void TableBuilder::prepare() {
  const auto columns = schema_of(table_).columns;
  if (!spare_.empty()) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i].column = std::move(spare_.back().columns[i]);
      slots_[i].column.valid.clear();
      slots_[i].column.dictionary.clear();
    }
    spare_.pop_back();
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    Column& c = slots_[i].column;
    c.type = columns[i].type;
    c.all_used = c.type == kText;
    if (c.type == kInt) c.ints.resize(capacity_);
    if (c.type == kDouble) c.doubles.resize(capacity_);
    if (c.type == kBool) c.bools.resize(capacity_);
    if (c.type == kText) c.codes.resize(capacity_);
  }
}

std::uint32_t TableBuilder::code_of(Slot& slot, Symbol symbol) {
  slot.last_symbol = symbol.id;
  if (symbol.empty()) return slot.last_code = kNullCode;
  if (symbol.id >= slot.local_of.size())
    slot.local_of.resize(std::max<std::size_t>(symbols_.size(), symbol.id + 1), kNullCode);
  std::uint32_t& code = slot.local_of[symbol.id];
  if (code == kNullCode) {
    code = static_cast<std::uint32_t>(slot.symbols.size());
    slot.symbols.push_back(symbol.id);
    slot.column.dictionary.push_back(symbols_.text(symbol));
  }
  return slot.last_code = code;
}

Batch TableBuilder::take() {
  Batch batch;
  batch.rows = rows_;
  if (rows_ == 0) prepare();
  for (auto& slot : slots_) {
    for (const auto id : slot.symbols) slot.local_of[id] = kNullCode;
    slot.symbols.clear();
    slot.last_symbol = 0;
    slot.last_code = kNullCode;
    Column c = std::move(slot.column);
    slot.column = {};
    if (!c.ints.empty()) c.ints.resize(rows_);
    if (!c.doubles.empty()) c.doubles.resize(rows_);
    if (!c.bools.empty()) c.bools.resize(rows_);
    if (!c.codes.empty()) c.codes.resize(rows_);
    if (!c.valid.empty()) c.valid.resize(rows_);
    batch.columns.push_back(std::move(c));
  }
  rows_ = 0;
  return batch;
}

void TableBuilder::append(const energy::MeterRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kMeters)
      .number(r.window_ns)
      .number(r.t0_ns)
      .number(r.t1_ns)
      .text(r.meter)
      .text(r.parent)
      .text(r.site)
      .text(r.rack)
      .text(r.node)
      .text(r.device)
      .text(r.kind)
      .text(r.zone)
      .number(r.energy_uj)
      .text(qualities_[static_cast<std::size_t>(r.quality)])
      .text(r.source)
      .number(r.uncertainty_ppm)
      .end();
}

void TableBuilder::append(const energy::JouleRow& r) {
  if (rows_ == 0) prepare();
  const auto& c = r.consumer;
  Row(*this, Table::kJoules)
      .number(r.window_ns)
      .number(r.t0_ns)
      .number(r.t1_ns)
      .text(r.meter)
      .text(r.device)
      .number(r.energy_uj)
      .text(shares_[static_cast<std::size_t>(r.share)])
      .text(qualities_[static_cast<std::size_t>(r.quality)])
      .text(r.method)
      .number(r.uncertainty_ppm)
      .text(c.tenant)
      .text(c.job)
      .text(c.model)
      .text(c.run)
      .text(c.epoch)
      .text(c.step)
      .text(c.request)
      .text(c.kernel)
      .text(c.phase)
      .text(r.source)
      .number(r.seq)
      .end();
}

void TableBuilder::append(const energy::SampleRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kSamples)
      .number(r.t_ns)
      .text(r.device)
      .text(r.signal)
      .number(r.value)
      .text(qualities_[static_cast<std::size_t>(r.quality)])
      .number(r.window_ms)
      .text(r.source)
      .number(r.seq)
      .end();
}

void TableBuilder::append(const energy::RequestRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kRequests)
      .text(r.request)
      .text(r.tenant)
      .text(r.model)
      .number(r.t_arrival_ns)
      .number(r.t_done_ns)
      .number(r.input_tokens)
      .number(r.output_tokens)
      .number(r.latency_ms)
      .number(r.ttft_ms)
      .flag(r.slo_met)
      .number(r.energy_uj)
      .number(r.carbon_g)
      .end();
}

void TableBuilder::append(const energy::JobRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kJobs)
      .text(r.job)
      .text(r.tenant)
      .text(r.model)
      .number(r.nodes)
      .number(r.gpus)
      .number(r.t_submit_ns)
      .time_or_null(r.t_start_ns)
      .time_or_null(r.t_end_ns)
      .number(r.energy_uj)
      .number(r.carbon_g)
      .end();
}

void TableBuilder::append(const energy::DecisionRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kDecisions)
      .text(r.decision)
      .number(r.t_ns)
      .text(r.policy)
      .text(r.target)
      .text(r.action)
      .number(r.value_before)
      .number(r.value_after)
      .text(symbols_.intern(base::hex64(r.reason_hash)))
      .text(r.why)
      .number(r.expected_saving_uj)
      .number(r.bound_uj)
      .time_or_null(r.expires_ns)
      .text(r.outcome)
      .flag(r.undone)
      .end();
}

void TableBuilder::append(const energy::CarbonRow& r) {
  if (rows_ == 0) prepare();
  Row(*this, Table::kCarbon)
      .number(r.t0_ns)
      .number(r.t1_ns)
      .text(r.region)
      .text(carbon_kinds_[static_cast<std::size_t>(r.kind)])
      .number(r.g_per_kwh)
      .text(qualities_[static_cast<std::size_t>(r.quality)])
      .text(r.source)
      .end();
}

}  // namespace perjoule::bus
