// Joules by dimensions, and the rows of one request.
#include <algorithm>
#include <unordered_map>

#include "bus/file_columns.hpp"
#include "bus/log_layout.hpp"
#include "bus/queries.hpp"
#include "bus/query_kernels.hpp"
#include "bus/query_scan.hpp"

namespace perjoule::bus {
namespace {

// Groups up to here are a flat table.
constexpr std::uint64_t kFlatGroups = std::uint64_t{1} << 18;
constexpr std::string_view kNode = "node";

base::Result<std::size_t> text_column(const std::string& name) {
  const TableSchema& schema = schema_of(Table::kJoules);
  const std::size_t i = schema.find(name == kNode ? "device" : name);
  if (i != schema.columns.size() && schema.columns[i].type == ColumnType::kText) return i;
  return base::bad_input("group joules", "'" + name + "'", "it is no dimension of joules");
}

struct Dimension {
  std::size_t column = 0;
  std::shared_ptr<ColumnTexts> texts;
  std::vector<std::uint32_t> other;  // the column's number -> this dimension's; empty: the same
  std::uint64_t size = 1;
};

// Which numbers of a column are asked for.
struct Filter {
  std::size_t column = 0;
  std::vector<std::uint8_t> passes;
};

// Everything about a question that does not change while it is answered.
struct Plan {
  std::vector<Unit> units;
  std::vector<Dimension> dimensions;  // two; the second may be of size 1 and no column
  std::vector<Filter> filters;
  std::size_t energy = 0, time = 0;
  TimeWindow window;
  std::uint64_t groups() const { return dimensions[0].size * dimensions[1].size; }
};

base::Result<Filter> filter_of(QuerySession& session, const std::string& column,
                               const std::function<bool(std::string_view)>& passes) {
  Filter f;
  PJ_ASSIGN(f.column, text_column(column));
  const auto all = session.texts(column)->all();
  f.passes.assign(all.size(), 0);
  for (std::size_t i = 1; i < all.size(); ++i) f.passes[i] = passes(all[i]) ? 1 : 0;
  return f;
}

base::Status add_filters(QuerySession& session, const EnergyQuery& q, Plan& plan) {
  for (const TextIs& f : q.is) {
    PJ_ASSIGN(Filter filter, filter_of(session, f.column, [&](std::string_view t) { return t == f.text; }));
    plan.filters.push_back(std::move(filter));
  }
  for (const TextBetween& f : q.between) {
    PJ_ASSIGN(Filter filter, filter_of(session, f.column, [&](std::string_view t) {
                return t >= f.from && (f.to.empty() || t < f.to);
              }));
    plan.filters.push_back(std::move(filter));
  }
  return base::ok_status();
}

base::Status add_dimensions(QuerySession& session, const EnergyQuery& q, Plan& plan) {
  for (const std::string& name : q.by) {
    Dimension d;
    PJ_ASSIGN(d.column, text_column(name));
    if (name == kNode) {
      PJ_ASSIGN(d.other, session.nodes_of_devices());
    }
    d.texts = session.texts(name);
    d.size = d.texts->size();
    plan.dimensions.push_back(std::move(d));
  }
  plan.dimensions.resize(2);
  return base::ok_status();
}

base::Result<Plan> plan_of(QuerySession& session, const EnergyQuery& q) {
  if (q.by.empty() || q.by.size() > 2)
    return base::bad_input("group joules", std::to_string(q.by.size()) + " dimensions",
                           "one or two are possible");
  const TableSchema& schema = schema_of(Table::kJoules);
  Plan plan;
  plan.window = q.window;
  plan.energy = schema.find("energy_uj");
  plan.time = schema.find(q.time == JouleTime::kWindow ? "window_ns" : "t1_ns");
  std::vector<std::size_t> columns;
  const auto note = [&](const std::string& name) -> base::Status {
    PJ_ASSIGN(const std::size_t column, text_column(name));
    columns.push_back(column);
    return base::ok_status();
  };
  for (const auto& name : q.by) PJ_TRY(note(name));
  for (const auto& f : q.is) PJ_TRY(note(f.column));
  for (const auto& f : q.between) PJ_TRY(note(f.column));
  PJ_ASSIGN(plan.units, units_of(session, Table::kJoules, plan.time, q.window));
  PJ_TRY(learn_texts(session, Table::kJoules, plan.units, columns));
  PJ_TRY(add_dimensions(session, q, plan));
  PJ_TRY(add_filters(session, q, plan));
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
  explicit Summer(const Plan& plan) : plan_(plan), flat_(plan.groups() <= kFlatGroups) {
    if (flat_) cells_.resize(plan.groups());
  }

  // False: no row of the unit is asked for.
  base::Result<bool> begin(PieceReader& reader) {
    passes_.resize(plan_.filters.size());
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      const Filter& f = plan_.filters[i];
      PJ_ASSIGN(const auto map, reader.map(f.column));
      passes_[i].resize(map->size());
      std::transform(map->begin(), map->end(), passes_[i].begin(),
                     [&](auto number) { return f.passes[number]; });
      if (std::find(passes_[i].begin(), passes_[i].end(), 1) == passes_[i].end()) return false;
    }
    for (std::size_t d = 0; d < 2; ++d) PJ_TRY(begin_dimension(reader, d));
    return true;
  }

  base::Status piece(PieceReader& reader) {
    PJ_ASSIGN(const Cover cover, reader.cover(plan_.time, plan_.window));
    if (cover == Cover::kNone) return base::ok_status();
    bool some = false;
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      PJ_ASSIGN(const auto codes, reader.codes(plan_.filters[i].column));
      select(codes, passes_[i], some);
      some = true;
      if (selected_.empty()) return base::ok_status();
    }
    if (cover == Cover::kSome) {
      PJ_ASSIGN(const auto times, reader.ints(plan_.time));
      const TimeWindow& w = plan_.window;
      select_rows(times.size(), some, selected_, [&](std::size_t i) { return w.holds(times[i]); });
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
    if (dimension.texts == nullptr) return base::ok_status();
    PJ_ASSIGN(maps_[d], reader.map(dimension.column));
    if (dimension.other.empty()) return base::ok_status();
    auto own = std::make_shared<QuerySession::CodeMap>(*maps_[d]);
    for (auto& number : *own) number = dimension.other[number];
    maps_[d] = std::move(own);
    return base::ok_status();
  }

  void select(std::span<const std::uint32_t> codes, const std::vector<std::uint8_t>& passes, bool narrow) {
    const auto one = std::find(passes.begin(), passes.end(), 1);
    if (!narrow && std::find(one + 1, passes.end(), 1) == passes.end())
      return select_equal(codes, static_cast<std::uint32_t>(one - passes.begin()), selected_);
    select_rows(codes.size(), narrow, selected_, [&](std::size_t i) { return passes[codes[i]] != 0; });
  }

  base::Status add(PieceReader& reader, bool some) {
    PJ_ASSIGN(auto energy, reader.ints(plan_.energy));
    PJ_ASSIGN(const auto first, reader.codes(plan_.dimensions[0].column));
    if (some) {
      energies_.resize(selected_.size());
      for (std::size_t i = 0; i < selected_.size(); ++i) energies_[i] = energy[selected_[i]];
      energy = energies_;
    }
    bound_ += bound_of_sum(energy);
    const std::uint32_t* const numbers = maps_[0]->data();
    if (plan_.dimensions[1].texts == nullptr) {
      add_rows(energy, some, [&](std::size_t i) { return std::uint64_t{numbers[first[i]]}; });
      return base::ok_status();
    }
    PJ_ASSIGN(const auto second, reader.codes(plan_.dimensions[1].column));
    const std::uint32_t* const others = maps_[1]->data();
    const std::uint64_t size = plan_.dimensions[1].size;
    add_rows(energy, some, [&](std::size_t i) { return numbers[first[i]] * size + others[second[i]]; });
    return base::ok_status();
  }

  // `energy` of the rows that are selected, where some are.
  template <class GroupOf>
  void add_rows(std::span<const std::int64_t> energy, bool some, GroupOf&& group_of) {
    if (!flat_) {
      for (std::size_t i = 0; i < energy.size(); ++i)
        add_to(sparse_[group_of(some ? selected_[i] : i)], energy[i], 1);
      return;
    }
    groups_.resize(energy.size());
    if (some) {
      for (std::size_t i = 0; i < energy.size(); ++i)
        groups_[i] = static_cast<std::uint32_t>(group_of(selected_[i]));
    } else {
      for (std::size_t i = 0; i < energy.size(); ++i) groups_[i] = static_cast<std::uint32_t>(group_of(i));
    }
    // Where rows of a group lie together, its cell is touched once for all of them.
    if (changes_in(groups_) < energy.size() / 8) {
      add_runs(energy);
    } else {
      for (std::size_t i = 0; i < energy.size(); ++i) add_to(cells_[groups_[i]], energy[i], 1);
    }
  }

  void add_runs(std::span<const std::int64_t> energy) {
    for (std::size_t i = 0; i < energy.size();) {
      const std::size_t from = i;
      const std::uint32_t group = groups_[i];
      Sum sum = 0;
      for (; i < energy.size() && groups_[i] == group; ++i) add_wrapping(sum, static_cast<Sum>(energy[i]));
      add_to(cells_[group], sum, i - from);
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
  std::vector<Cell<Sum>> cells_;
  std::unordered_map<std::uint64_t, Cell<Sum>> sparse_;
  std::array<std::shared_ptr<const QuerySession::CodeMap>, 2> maps_;
  std::vector<std::vector<std::uint8_t>> passes_;
  std::vector<std::uint32_t> selected_, groups_;
  std::vector<std::int64_t> energies_;
  WideInt bound_ = 0;
};

template <class Sum>
base::Result<Summer<Sum>> sum_all(QuerySession& session, const Plan& plan) {
  std::vector<Summer<Sum>> summers(workers_of(session, plan.units.size()), Summer<Sum>(plan));
  PJ_TRY(read_units(session, Table::kJoules, plan.units,
                    {[&](std::size_t w, PieceReader& r) { return summers[w].begin(r); },
                     [&](std::size_t w, PieceReader& r) { return summers[w].piece(r); },
                     {}}));
  for (std::size_t w = 1; w < summers.size(); ++w) summers[0].take(summers[w]);
  return std::move(summers[0]);
}

template <class Sum>
base::Result<EnergyAnswer> answer_of(const Plan& plan, const Summer<Sum>& sums, std::size_t limit) {
  EnergyAnswer out;
  std::array<std::vector<std::string_view>, 2> names;
  for (std::size_t d = 0; d < 2; ++d) {
    if (plan.dimensions[d].texts == nullptr) continue;
    names[d] = plan.dimensions[d].texts->all();
    out.texts.push_back(plan.dimensions[d].texts);
  }
  bool fits = true;
  const std::uint64_t size = plan.dimensions[1].size;
  sums.each([&](std::uint64_t g, const Cell<Sum>& cell) {
    fits = fits && fits_int64(cell.energy);
    EnergyGroup group{{names[0][g / size], {}}, static_cast<std::int64_t>(cell.energy), cell.rows};
    if (!names[1].empty()) group.keys[1] = names[1][g % size];
    out.groups.push_back(group);
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

template <class T>
void pick(const std::vector<T>& from, const std::vector<std::uint32_t>& rows, std::vector<T>& to) {
  if (from.empty()) return;
  for (const auto row : rows) to.push_back(from[row]);
}

// These rows, and of the dictionary what they use.
Column picked(const Column& from, const std::vector<std::uint32_t>& rows) {
  Column out;
  out.type = from.type;
  pick(from.ints, rows, out.ints);
  pick(from.doubles, rows, out.doubles);
  pick(from.bools, rows, out.bools);
  pick(from.codes, rows, out.codes);
  pick(from.valid, rows, out.valid);
  std::unordered_map<std::uint32_t, std::uint32_t> place;
  for (auto& code : out.codes) {
    if (code == kNullCode) continue;
    const auto [it, fresh] = place.try_emplace(code, static_cast<std::uint32_t>(out.dictionary.size()));
    if (fresh) out.dictionary.push_back(from.dictionary[code]);
    code = it->second;
  }
  return out;
}

class RequestSearch {
 public:
  RequestSearch(QuerySession& session, std::string_view request)
      : session_(session), reader_(PieceReader::lend(session, Table::kJoules)), request_(request) {}

  base::Status look(const Unit& unit) {
    return unit.file != nullptr ? look_in_file(unit) : look_in_block(unit);
  }
  RequestAnswer answer() {
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
    PJ_TRY(file.read_again(unit.group, place, {0, 0}, codes_));
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
      PJ_TRY(file.read_again(unit.group, place, {from, to}, codes_, entries));
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
      return unit.file->read_again(unit.group, place, rows, c);
    PJ_ASSIGN(const auto map, reader_->map(column));
    PJ_TRY(unit.file->read_again(unit.group, place, rows, c, map->size() - 1));
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
    for (const Column& c : batch.columns) rows.columns.push_back(picked(c, selected_));
    return for_each_row(rows, *symbols_, [&](const energy::JouleRow& row) { out_.rows.push_back(row); });
  }

  QuerySession& session_;
  const std::shared_ptr<PieceReader> reader_;
  const std::string_view request_;
  Batch batch_;
  const std::size_t column_ = schema_of(Table::kJoules).find("request");
  Column codes_;
  std::vector<std::uint32_t> selected_;
  std::shared_ptr<base::SymbolTable> symbols_ = std::make_shared<base::SymbolTable>();
  RequestAnswer out_;
};

}  // namespace

base::Result<EnergyAnswer> energy_by(QuerySession& session, const EnergyQuery& query) {
  PJ_ASSIGN(const Plan plan, plan_of(session, query));
  PJ_ASSIGN(const auto sums, sum_all<std::int64_t>(session, plan));
  if (fits_int64(sums.bound())) return answer_of(plan, sums, query.limit);
  PJ_ASSIGN(const auto wide, sum_all<WideInt>(session, plan));
  return answer_of(plan, wide, query.limit);
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
  RequestSearch search(session, request);
  for (const Unit& unit : units) PJ_TRY(search.look(unit));
  return search.answer();
}

}  // namespace perjoule::bus
