// Joules by dimensions, and the rows of one request.
#include <algorithm>
#include <unordered_map>

#include "bus/file_columns.hpp"
#include "bus/log_layout.hpp"
#include "bus/pick_rows.hpp"
#include "bus/queries.hpp"
#include "bus/query_kernels.hpp"
#include "bus/query_scan.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {
namespace {

// Groups up to here are a flat table.
constexpr std::uint64_t kFlatGroups = std::uint64_t{1} << 18;
constexpr std::string_view kNode = "node";

// A column of joules; a node is known by the device.
std::string column_name(const std::string& dimension) { return dimension == kNode ? "device" : dimension; }

base::Status check_dimension(const std::string& name) {
  const TableSchema& schema = schema_of(Table::kJoules);
  const std::size_t i = schema.find(column_name(name));
  if (i != schema.columns.size() && schema.columns[i].type == ColumnType::kText) return base::ok_status();
  return base::bad_input("group joules", "'" + name + "'", "it is no dimension of joules");
}

struct Dimension {
  std::string name;
  std::shared_ptr<ColumnTexts> texts;
  std::vector<std::uint32_t> other;  // the column's number -> this dimension's; empty: the same
  std::uint64_t size = 1;
};

// Which numbers of a column are asked for; `text`, if it is only one.
struct Filter {
  std::string column;
  std::vector<std::uint8_t> passes;
  std::string text;
};

// Rows of one table that are asked, and where its columns are.
struct Source {
  Table table = Table::kJoules;
  std::vector<Unit> units;
  std::vector<std::size_t> dimensions, filters;
  std::size_t energy = 0, time = 0;
  std::optional<std::size_t> rows;  // of a rollup: how many rows of joules each one stands for
};

// Everything about a question that does not change while it is answered.
struct Plan {
  std::vector<Source> sources;
  std::vector<Dimension> dimensions;
  std::vector<Filter> filters;
  std::string rollup;
  std::optional<std::int64_t> lacks_before_ns;
  std::uint64_t groups = 1;  // that there could be
  std::size_t workers(const QuerySession& session) const {
    std::size_t most = 1;
    for (const Source& s : sources) most = std::max(most, workers_of(session, s.units.size()));
    return most;
  }
};

Filter filter_of(QuerySession& session, const std::string& column,
                 const std::function<bool(std::string_view)>& passes) {
  Filter f{column, {}, {}};
  const auto all = session.texts(column)->all();
  f.passes.assign(all.size(), 0);
  for (std::size_t i = 1; i < all.size(); ++i) f.passes[i] = passes(all[i]) ? 1 : 0;
  return f;
}

void add_filters(QuerySession& session, const EnergyQuery& q, Plan& plan) {
  for (const TextIs& f : q.is) {
    plan.filters.push_back(filter_of(session, f.column, [&](std::string_view t) { return t == f.text; }));
    plan.filters.back().text = f.text;
  }
  for (const TextBetween& f : q.between) {
    plan.filters.push_back(filter_of(
        session, f.column, [&](std::string_view t) { return t >= f.from && (f.to.empty() || t < f.to); }));
  }
}

base::Status add_dimensions(QuerySession& session, const EnergyQuery& q, Plan& plan) {
  for (const std::string& name : q.by) {
    Dimension d;
    d.name = name;
    if (name == kNode) {
      PJ_ASSIGN(d.other, session.nodes_of_devices());
    }
    d.texts = session.texts(name);
    d.size = d.texts->size();
    if (__builtin_mul_overflow(plan.groups, d.size, &plan.groups))
      return base::bad_input("group joules", std::to_string(q.by.size()) + " dimensions",
                             std::string(kTooManyGroups), "Ask for fewer dimensions");
    plan.dimensions.push_back(std::move(d));
  }
  return base::ok_status();
}

// The columns of joules that a question names.
std::vector<std::string> columns_of(const EnergyQuery& q) {
  std::vector<std::string> out;
  for (const auto& name : q.by) out.push_back(column_name(name));
  for (const auto& f : q.is) out.push_back(f.column);
  for (const auto& f : q.between) out.push_back(f.column);
  return out;
}

// The rollup that has all these columns, and sums in this store; nullptr: none.
const RollupSpec* rollup_for(const QuerySession& session, const std::vector<std::string>& columns) {
  const auto has_all = [&](const RollupSpec& spec) {
    return std::all_of(columns.begin(), columns.end(), [&](const auto& c) {
      return std::find(spec.dimensions.begin(), spec.dimensions.end(), c) != spec.dimensions.end();
    });
  };
  const auto& segments = session.store().manifest().segments;
  for (const RollupSpec& spec : rollup_specs()) {
    const auto is_file = [&](const auto& e) { return e.table == schema_of(spec.table).name; };
    if (has_all(spec) && std::any_of(segments.begin(), segments.end(), is_file)) return &spec;
  }
  return nullptr;
}

// The part of a window that is made of whole steps; `from` is not before `to` if there is none.
TimeWindow whole_steps(const TimeWindow& window, std::int64_t step_ns) {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  return {ceil_to_step(window.from_ns, step_ns),
          window.to_ns == kEnd ? kEnd : floor_to_step(window.to_ns, step_ns)};
}

// What is left of the window.
std::vector<TimeWindow> edges(const TimeWindow& window, const TimeWindow& whole) {
  if (whole.from_ns >= whole.to_ns) return {window};
  std::vector<TimeWindow> out;
  if (window.from_ns < whole.from_ns) out.push_back({window.from_ns, whole.from_ns});
  if (whole.to_ns < window.to_ns) out.push_back({whole.to_ns, window.to_ns});
  return out;
}

Source source_of(Table table, const EnergyQuery& q, std::string_view time) {
  const TableSchema& schema = schema_of(table);
  Source s;
  s.table = table;
  s.energy = schema.find("energy_uj");
  s.time = schema.find(time);
  for (const auto& name : q.by) s.dimensions.push_back(schema.find(column_name(name)));
  for (const auto& f : q.is) s.filters.push_back(schema.find(f.column));
  for (const auto& f : q.between) s.filters.push_back(schema.find(f.column));
  if (table != Table::kJoules) s.rows = schema.find("rows");
  return s;
}

// Of rows that were dropped, those are missing that are in no sum of the rollup, or in one of a step that is
// only in part in the window.
std::optional<std::int64_t> lacking(const Manifest& manifest, const EnergyQuery& q,
                                    const RollupSpec* rollup) {
  // A note has bounds of window_ns; a row may end that much later than its window begins.
  constexpr std::int64_t kLongestWindow = 3'600'000'000'000;
  const std::string joules(schema_of(Table::kJoules).name);
  const auto mark = manifest.tables.find(joules);
  if (mark == manifest.tables.end()) return std::nullopt;
  TimeWindow window = q.window;
  if (q.time == JouleTime::kEnd &&
      window.from_ns >= std::numeric_limits<std::int64_t>::min() + kLongestWindow)
    window.from_ns -= kLongestWindow;
  if (window.from_ns >= mark->second.kept_from_ns) return std::nullopt;
  std::int64_t step = 0;
  const std::string name(rollup == nullptr ? std::string_view{} : schema_of(rollup->table).name);
  for (const auto& e : manifest.segments) step = std::max(step, e.table == name ? e.step_in(name) : 0);
  for (const DroppedRows& d : manifest.dropped) {
    if (d.table != joules || !window.overlaps(d.first_ns, d.last_ns)) continue;
    const bool summed = step != 0 && d.rolled_up.contains(name);
    for (const TimeWindow& w : summed ? edges(window, whole_steps(window, step)) : std::vector{window}) {
      if (w.overlaps(d.first_ns, d.last_ns)) return mark->second.kept_from_ns;
    }
  }
  return std::nullopt;
}

// Rows of joules that are in no sum of the rollup, or in one of a step that is only in part in the window.
base::Status add_rows(QuerySession& session, const EnergyQuery& q, const RollupSpec* rollup, Plan& plan) {
  Source rows = source_of(Table::kJoules, q, q.time == JouleTime::kWindow ? "window_ns" : "t1_ns");
  const auto windows = [&](const SegmentEntry* segment) -> std::vector<TimeWindow> {
    const std::int64_t step =
        rollup == nullptr || segment == nullptr ? 0 : segment->step_in(schema_of(rollup->table).name);
    return step == 0 ? std::vector{q.window} : edges(q.window, whole_steps(q.window, step));
  };
  PJ_TRY(add_units(session, rows.table, rows.time, windows, rows.units));
  plan.sources.push_back(std::move(rows));
  plan.lacks_before_ns = lacking(session.store().manifest(), q, rollup);
  return base::ok_status();
}

base::Status add_sums(QuerySession& session, const EnergyQuery& q, const RollupSpec& rollup, Plan& plan) {
  Source sums = source_of(rollup.table, q, q.time == JouleTime::kWindow ? "window_ns" : "bucket_ns");
  const auto windows = [&](const SegmentEntry* segment) -> std::vector<TimeWindow> {
    if (segment == nullptr) return {};
    const TimeWindow whole = whole_steps(q.window, segment->step_in(segment->table));
    return whole.from_ns < whole.to_ns ? std::vector{whole} : std::vector<TimeWindow>{};
  };
  PJ_TRY(add_units(session, sums.table, sums.time, windows, sums.units));
  plan.sources.push_back(std::move(sums));
  plan.rollup = schema_of(rollup.table).name;
  return base::ok_status();
}

base::Result<Plan> plan_of(QuerySession& session, const EnergyQuery& q) {
  if (q.by.empty() || q.by.size() > kMostDimensions)
    return base::bad_input("group joules", std::to_string(q.by.size()) + " dimensions",
                           "one to " + std::to_string(kMostDimensions) + " are possible");
  const std::vector<std::string> columns = columns_of(q);
  for (const auto& name : columns) PJ_TRY(check_dimension(name));
  Plan plan;
  session.stats() = {};
  // What a reader leaves out for its damage is still in the sums.
  const bool sums = q.rollups && session.store().left_out().empty();
  const RollupSpec* const rollup = sums ? rollup_for(session, columns) : nullptr;
  PJ_TRY(add_rows(session, q, rollup, plan));
  if (rollup != nullptr) PJ_TRY(add_sums(session, q, *rollup, plan));
  for (const Source& s : plan.sources) {
    std::vector<std::size_t> places;
    for (const auto& name : columns) places.push_back(schema_of(s.table).find(name));
    PJ_TRY(learn_texts(session, s.table, s.units, places));
  }
  PJ_TRY(add_dimensions(session, q, plan));
  add_filters(session, q, plan);
  return plan;
}

template <class Sum>
struct Cell {
  Sum energy = 0;
  std::uint64_t rows = 0;
};

// One thread's sums.
template <class Sum>
class Summer {
 public:
  explicit Summer(const Plan& plan)
      : plan_(plan), flat_(plan.groups <= kFlatGroups), maps_(plan.dimensions.size()) {
    if (flat_) cells_.resize(plan.groups);
  }

  // False: no row of the unit is asked for.
  base::Result<bool> begin(const Source& source, PieceReader& reader) {
    source_ = &source;
    passes_.resize(plan_.filters.size());
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      const Filter& f = plan_.filters[i];
      PJ_ASSIGN(const auto map, reader.map(source.filters[i]));
      passes_[i].resize(map->size());
      std::transform(map->begin(), map->end(), passes_[i].begin(),
                     [&](auto number) { return f.passes[number]; });
      if (std::find(passes_[i].begin(), passes_[i].end(), 1) == passes_[i].end()) return false;
    }
    for (std::size_t d = 0; d < maps_.size(); ++d) PJ_TRY(begin_dimension(reader, d));
    return true;
  }

  base::Status piece(PieceReader& reader) {
    PJ_ASSIGN(const Cover cover, reader.cover(source_->time));
    if (cover == Cover::kNone) return base::ok_status();
    bool some = false;
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      if (const std::string& text = plan_.filters[i].text; !text.empty()) {
        PJ_ASSIGN(const bool perhaps, reader.may_hold_text(source_->filters[i], text));
        if (!perhaps) return base::ok_status();
      }
      PJ_TRY(reader.select(source_->filters[i], passes_[i], some, selected_));
      some = true;
      if (selected_.empty()) return base::ok_status();
    }
    if (cover == Cover::kSome) {
      PJ_ASSIGN(const auto times, reader.ints(source_->time));
      const auto& windows = reader.unit().windows;
      const TimeWindow first = windows.front(), last = windows.back();
      select_rows(times.size(), some, selected_,
                  [&](std::size_t i) { return first.holds(times[i]) || last.holds(times[i]); });
      some = true;
    }
    return some && selected_.empty() ? base::ok_status() : add(reader, some);
  }

  WideInt bound() const { return bound_; }
  template <class F>
  void each(F&& f) const {
    for (std::uint64_t g = 0; g < cells_.size(); ++g) {
      if (cells_[g].rows != 0) f(g, cells_[g]);
    }
    for (const auto& [g, cell] : sparse_) f(g, cell);
  }
  void take(const Summer& other) {
    bound_ += other.bound_;
    other.each([&](std::uint64_t g, const Cell<Sum>& cell) {
      Cell<Sum>& mine = flat_ ? cells_[g] : sparse_[g];
      add_to(mine, cell.energy, cell.rows);
    });
  }

 private:
  base::Status begin_dimension(PieceReader& reader, std::size_t d) {
    const Dimension& dimension = plan_.dimensions[d];
    PJ_ASSIGN(maps_[d], reader.map(source_->dimensions[d]));
    if (dimension.other.empty()) return base::ok_status();
    auto own = std::make_shared<QuerySession::CodeMap>(*maps_[d]);
    for (auto& number : *own) number = dimension.other[number];
    maps_[d] = std::move(own);
    return base::ok_status();
  }

  base::Status add(PieceReader& reader, bool some) {
    PJ_ASSIGN(auto energy, reader.ints(source_->energy));
    energy = chosen(energy, some, energies_);
    std::span<const std::int64_t> counts;
    if (source_->rows) {
      PJ_ASSIGN(counts, reader.ints(*source_->rows));
      counts = chosen(counts, some, counts_);
    }
    bound_ += bound_of_sum(energy);
    if (flat_) {
      PJ_TRY(find_groups(reader, some, energy.size(), flat_groups_));
      if (changes_in(flat_groups_) >= energy.size() / 8) return add_rows(energy, counts), base::ok_status();
      add_runs(flat_groups_, energy, counts, [this](std::uint64_t g) -> Cell<Sum>& { return cells_[g]; });
    } else {
      PJ_TRY(find_groups(reader, some, energy.size(), sparse_groups_));
      add_runs(sparse_groups_, energy, counts, [this](std::uint64_t g) -> Cell<Sum>& { return sparse_[g]; });
    }
    return base::ok_status();
  }

  // Of each row the number of its group, one dimension after the other.
  template <class Group>
  base::Status find_groups(PieceReader& reader, bool some, std::size_t rows,
                           std::vector<Group>& groups) const {
    groups.resize(rows);
    for (std::size_t d = 0; d < maps_.size(); ++d) {
      PJ_ASSIGN(const auto column, codes(reader, d, some));
      const std::uint32_t* const numbers = maps_[d]->data();
      if (d == 0) {
        for (std::size_t i = 0; i < rows; ++i) groups[i] = numbers[column[i]];
        continue;
      }
      const auto size = static_cast<Group>(plan_.dimensions[d].size);
      for (std::size_t i = 0; i < rows; ++i) groups[i] = groups[i] * size + numbers[column[i]];
    }
    return base::ok_status();
  }

  // Of the selected rows, where some are.
  base::Result<std::span<const std::uint32_t>> codes(PieceReader& reader, std::size_t dimension,
                                                     bool some) const {
    const std::size_t column = source_->dimensions[dimension];
    return some ? reader.codes_at(column, selected_) : reader.codes(column);
  }

  // The selected values, where some rows are.
  std::span<const std::int64_t> chosen(std::span<const std::int64_t> values, bool some,
                                       std::vector<std::int64_t>& memory) const {
    if (!some) return values;
    memory.resize(selected_.size());
    for (std::size_t i = 0; i < selected_.size(); ++i) memory[i] = values[selected_[i]];
    return memory;
  }

  // No counts: each row is one.
  void add_rows(std::span<const std::int64_t> energy, std::span<const std::int64_t> counts) {
    for (std::size_t i = 0; i < energy.size(); ++i)
      add_to(cells_[flat_groups_[i]], energy[i], counts.empty() ? 1 : static_cast<std::uint64_t>(counts[i]));
  }

  // Where rows of a group lie together, its cell is touched once for all of them.
  template <class Group, class CellOf>
  static void add_runs(const std::vector<Group>& groups, std::span<const std::int64_t> energy,
                       std::span<const std::int64_t> counts, CellOf&& cell_of) {
    for (std::size_t i = 0; i < energy.size();) {
      const std::size_t from = i;
      const Group group = groups[i];
      Sum sum = 0;
      std::uint64_t rows = 0;
      for (; i < energy.size() && groups[i] == group; ++i) {
        add_wrapping(sum, static_cast<Sum>(energy[i]));
        if (!counts.empty()) rows += static_cast<std::uint64_t>(counts[i]);
      }
      add_to(cell_of(group), sum, counts.empty() ? i - from : rows);
    }
  }

  // Wraps where bound() says that it may; the sums are then thrown away.
  static void add_wrapping(Sum& sum, Sum v) { (void)__builtin_add_overflow(sum, v, &sum); }
  static void add_to(Cell<Sum>& cell, Sum energy, std::uint64_t rows) {
    add_wrapping(cell.energy, energy);
    cell.rows += rows;
  }

  const Plan& plan_;
  const bool flat_;
  const Source* source_ = nullptr;  // of the unit being read
  std::vector<Cell<Sum>> cells_;
  std::unordered_map<std::uint64_t, Cell<Sum>> sparse_;
  std::vector<std::shared_ptr<const QuerySession::CodeMap>> maps_;  // by dimension
  std::vector<std::vector<std::uint8_t>> passes_;
  std::vector<std::uint32_t> selected_, flat_groups_;
  std::vector<std::uint64_t> sparse_groups_;
  std::vector<std::int64_t> energies_, counts_;
  WideInt bound_ = 0;
};

template <class Sum>
base::Result<Summer<Sum>> sum_all(QuerySession& session, const Plan& plan) {
  std::vector<Summer<Sum>> summers(plan.workers(session), Summer<Sum>(plan));
  for (const Source& source : plan.sources) {
    PJ_TRY(read_units(session, source.table, source.units,
                      {[&](std::size_t w, PieceReader& r) { return summers[w].begin(source, r); },
                       [&](std::size_t w, PieceReader& r) { return summers[w].piece(r); },
                       {}}));
  }
  for (std::size_t w = 1; w < summers.size(); ++w) summers[0].take(summers[w]);
  return std::move(summers[0]);
}

template <class Sum>
base::Result<EnergyAnswer> answer_of(const Plan& plan, const Summer<Sum>& sums, std::size_t limit) {
  EnergyAnswer out;
  out.rollup = plan.rollup;
  out.lacks_before_ns = plan.lacks_before_ns;
  std::vector<std::vector<std::string_view>> names;
  for (const Dimension& d : plan.dimensions) {
    names.push_back(d.texts->all());
    out.texts.push_back(d.texts);
  }
  bool fits = true;
  sums.each([&](std::uint64_t g, const Cell<Sum>& cell) {
    fits = fits && fits_int64(cell.energy);
    EnergyGroup& group = out.groups.emplace_back();
    group.energy_uj = static_cast<std::int64_t>(cell.energy);
    group.rows = cell.rows;
    for (std::size_t d = names.size(); d-- > 0; g /= plan.dimensions[d].size)
      group.keys[d] = names[d][g % plan.dimensions[d].size];
  });
  if (!fits)
    return base::bad_input("group joules", {}, "a sum is beyond 64 bits", "Ask for a shorter window");
  const auto before = [](const EnergyGroup& a, const EnergyGroup& b) {
    return a.energy_uj != b.energy_uj ? a.energy_uj > b.energy_uj : a.keys < b.keys;
  };
  if (limit != 0 && limit < out.groups.size()) {
    std::partial_sort(out.groups.begin(), out.groups.begin() + static_cast<std::ptrdiff_t>(limit),
                      out.groups.end(), before);
    out.groups.resize(limit);
  } else {
    std::sort(out.groups.begin(), out.groups.end(), before);
  }
  return out;
}

// ---- one request ----

class RequestSearch {
 public:
  RequestSearch(QuerySession& session, std::string_view request)
      : session_(session), reader_(PieceReader::lend(session, Table::kJoules)), request_(request) {}

  base::Status look(const Unit& unit) {
    return unit.file != nullptr ? look_in_file(unit) : look_in_block(unit);
  }
  RequestAnswer answer() {
    session_.stats().add(stats_);
    out_.symbols = std::move(symbols_);
    return std::move(out_);
  }

 private:
  base::Status look_in_file(const Unit& unit) {
    const ParquetFile& file = *unit.file;
    const auto places = places_of(schema_of(Table::kJoules), file.format_version());
    const std::size_t place = places[column_];
    PJ_ASSIGN(const bool perhaps, file.may_contain(unit.group, place, request_));
    if (!perhaps) return base::ok_status();
    PJ_TRY(file.read_again(unit.group, place, {0, 0}, codes_, SIZE_MAX, &stats_.bytes));
    const auto& texts = codes_.dictionary;
    const auto found = std::lower_bound(texts.begin(), texts.end(), request_);
    if (found == texts.end() || *found != request_) return base::ok_status();
    const auto code = static_cast<std::uint32_t>(found - texts.begin());
    const std::size_t entries = texts.size();
    PJ_ASSIGN(const auto pages, file.pages(unit.group, place));
    for (std::size_t p = 0; p < pages.size(); ++p) {
      const auto& bounds = pages[p].bounds;
      if (bounds.known && (request_ < bounds.smallest || request_ > bounds.largest)) continue;
      const auto from = static_cast<std::size_t>(pages[p].first_row);
      const std::size_t to =
          p + 1 < pages.size() ? static_cast<std::size_t>(pages[p + 1].first_row) : unit.rows;
      PJ_TRY(file.read_again(unit.group, place, {from, to}, codes_, entries, &stats_.bytes));
      stats_.rows += to - from;
      select_equal(codes_.codes, code, selected_);
      if (!selected_.empty()) PJ_TRY(read_rows(unit, places, {from, to}));
    }
    return base::ok_status();
  }

  base::Status read_rows(const Unit& unit, const std::vector<std::size_t>& places, RowRange rows) {
    PJ_TRY(reader_->begin(unit));
    // Whole pages, so that a column's memory fits the next page too.
    batch_.columns.resize(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) PJ_TRY(read_column(unit, i, places[i], rows));
    return take(batch_);
  }

  // Of the dictionaries only the numbers are known; the texts are looked up for the rows that are kept.
  base::Status read_column(const Unit& unit, std::size_t column, std::size_t place, RowRange rows) {
    Column& c = batch_.columns[column];
    if (place == kAbsentColumn) {
      c.type = ColumnType::kText;
      c.codes.assign(rows.to - rows.from, kNullCode);
      return base::ok_status();
    }
    const ColumnSpec& spec = schema_of(Table::kJoules).columns[column];
    if (spec.type != ColumnType::kText || column == column_)
      return unit.file->read_again(unit.group, place, rows, c, SIZE_MAX, &stats_.bytes);
    PJ_ASSIGN(const auto map, reader_->map(column));
    PJ_TRY(unit.file->read_again(unit.group, place, rows, c, map->size() - 1, &stats_.bytes));
    const auto texts = session_.texts(spec.name);
    c.dictionary.resize(map->size() - 1);
    for (const auto row : selected_) {
      const std::uint32_t code = c.codes[row];
      if (code != kNullCode) c.dictionary[code] = texts->text((*map)[code]);
    }
    return base::ok_status();
  }

  base::Status look_in_block(const Unit& unit) {
    PJ_ASSIGN(const auto view,
              BlockView::open(*unit.block.bytes, log_segment_name(unit.block.place.segment)));
    PJ_ASSIGN(const Batch read, view.read(std::array{column_}));
    const auto& texts = read.columns[0].dictionary;
    const auto found = std::find(texts.begin(), texts.end(), request_);
    if (found == texts.end()) return base::ok_status();
    select_equal(read.columns[0].codes, static_cast<std::uint32_t>(found - texts.begin()), selected_);
    PJ_ASSIGN(const Batch batch, view.read_all());
    return take(batch);
  }

  base::Status take(const Batch& batch) {
    Batch rows;
    rows.rows = selected_.size();
    for (const Column& c : batch.columns) rows.columns.push_back(picked_rows(c, selected_));
    return for_each_row(rows, *symbols_, [&](const energy::JouleRow& row) { out_.rows.push_back(row); });
  }

  QuerySession& session_;
  const std::shared_ptr<PieceReader> reader_;
  const std::string_view request_;
  Batch batch_;
  const std::size_t column_ = schema_of(Table::kJoules).find("request");
  Column codes_;
  std::vector<std::uint32_t> selected_;
  QueryStats stats_;
  std::shared_ptr<base::SymbolTable> symbols_ = std::make_shared<base::SymbolTable>();
  RequestAnswer out_;
};

// Those that nobody has asked yet lie far apart in the files.
base::Status read_blooms(const std::vector<Unit>& units, std::string_view request) {
  const TableSchema& schema = schema_of(Table::kJoules);
  std::vector<std::pair<const Unit*, std::size_t>> unread;
  for (const Unit& unit : units) {
    if (unit.file == nullptr) continue;
    const std::size_t place = places_of(schema, unit.file->format_version())[schema.find("request")];
    if (unit.file->has_unread_bloom(unit.group, place)) unread.emplace_back(&unit, place);
  }
  return wait_together(unread.size(), [&](std::size_t i) -> base::Status {
    const auto& [unit, place] = unread[i];
    const auto perhaps = unit->file->may_contain(unit->group, place, request);
    return perhaps.ok() ? base::ok_status() : base::Status(perhaps.error());
  });
}

}  // namespace

base::Result<EnergyAnswer> energy_by(QuerySession& session, const EnergyQuery& query) {
  PJ_ASSIGN(const Plan plan, plan_of(session, query));
  PJ_ASSIGN(const auto sums, sum_all<std::int64_t>(session, plan));
  if (fits_int64(sums.bound())) return answer_of(plan, sums, query.limit);
  PJ_ASSIGN(const auto wide, sum_all<WideInt>(session, plan));
  return answer_of(plan, wide, query.limit);
}

std::optional<std::int64_t> lacks_before(const Manifest& manifest, Table table, const TimeWindow& window) {
  const std::string name(schema_of(table).name);
  const auto mark = manifest.tables.find(name);
  if (mark == manifest.tables.end() || window.from_ns >= mark->second.kept_from_ns) return std::nullopt;
  const bool any = std::any_of(manifest.dropped.begin(), manifest.dropped.end(), [&](const DroppedRows& d) {
    return d.table == name && window.overlaps(d.first_ns, d.last_ns);
  });
  return any ? std::optional(mark->second.kept_from_ns) : std::nullopt;
}

base::Result<EnergyAnswer> heat_map(QuerySession& session, TimeWindow window) {
  EnergyQuery q;
  q.by = {"node", "phase"};
  q.window = window;
  return energy_by(session, q);
}

base::Result<EnergyAnswer> top_kernels(QuerySession& session, const std::string& model,
                                       const std::string& epoch_from, const std::string& epoch_to,
                                       std::size_t limit) {
  EnergyQuery q;
  q.by = {"kernel"};
  q.is = {{"model", model}};
  q.between = {{"epoch", epoch_from, epoch_to}};
  q.limit = limit;
  return energy_by(session, q);
}

base::Result<RequestAnswer> request_rows(QuerySession& session, std::string_view request) {
  PJ_ASSIGN(const auto units, units_of(session, Table::kJoules, schema_of(Table::kJoules).time_column, {}));
  PJ_TRY(read_blooms(units, request));
  RequestSearch search(session, request);
  for (const Unit& unit : units) PJ_TRY(search.look(unit));
  return search.answer();
}

}  // namespace perjoule::bus
