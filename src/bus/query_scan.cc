#include "bus/query_scan.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/assert.hpp"
#include "bus/file_columns.hpp"
#include "bus/log_layout.hpp"
#include "bus/query_kernels.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kPieceRows = 65'536;

// Reads of a disk that wait beside one another.
constexpr std::size_t kWaiting = 8;
// Fewer are not worth a thread.
constexpr std::size_t kFewWaits = 4;

bool may_hold(const TimeWindow& w, const IntBounds& b) {
  return b.second >= w.from_ns && (b.first < w.to_ns || w.holds(b.first));
}

}  // namespace

base::Status wait_together(std::size_t n, const std::function<base::Status(std::size_t i)>& work) {
  std::atomic<std::size_t> taken{0};
  const auto run = [&]() -> base::Status {
    for (std::size_t i = taken++; i < n; i = taken++) {
      if (base::Status done = work(i); !done.ok()) return taken = n, done;
    }
    return base::ok_status();
  };
  const std::size_t workers = n <= kFewWaits ? 1 : std::min(n / 2, kWaiting);
  std::vector<base::Status> ends(workers, base::ok_status());
  std::vector<std::thread> threads;
  for (std::size_t w = 1; w < workers; ++w) threads.emplace_back([&, w] { ends[w] = run(); });
  ends[0] = run();
  for (auto& t : threads) t.join();
  for (auto& end : ends) PJ_TRY(end);
  return base::ok_status();
}

base::Result<std::vector<Unit>> units_of(QuerySession& session, Table table, std::size_t time_column,
                                         const TimeWindow& window) {
  std::vector<Unit> out;
  session.stats() = {};
  const auto whole = [&](const SegmentEntry*) { return std::vector{window}; };
  PJ_TRY(add_units(session, table, time_column, whole, out));
  return out;
}

base::Status add_units(QuerySession& session, Table table, std::size_t time_column,
                       const WindowsOf& windows_of, std::vector<Unit>& units) {
  const StoreReader& store = session.store();
  const TableSchema& schema = schema_of(table);
  PJ_TRY(store.log_status());
  QueryStats& stats = session.stats();
  const auto add = [&](Unit unit, const std::vector<TimeWindow>& windows, std::optional<IntBounds> bounds) {
    unit.number = units.size();
    for (const TimeWindow& w : windows) {
      if (!bounds || may_hold(w, *bounds)) unit.windows.push_back(w);
    }
    ++(unit.windows.empty() ? stats.pruned_units : stats.units);
    if (!unit.windows.empty()) units.push_back(std::move(unit));
  };
  std::vector<std::pair<const SegmentEntry*, std::vector<TimeWindow>>> asked;
  for (const auto& entry : store.manifest().segments) {
    if (entry.table != schema.name || store.leaves_out_all_of(entry)) continue;
    if (auto windows = windows_of(&entry); !windows.empty()) asked.emplace_back(&entry, std::move(windows));
  }
  std::vector<const SegmentEntry*> unread;
  for (const auto& [entry, windows] : asked) {
    if (!store.has_read(*entry)) unread.push_back(entry);
  }
  PJ_TRY(wait_together(unread.size(), [&](std::size_t i) -> base::Status {
    const auto file = store.segment(*unread[i]);
    return file.ok() ? base::ok_status() : base::Status(file.error());
  }));
  for (const auto& [place_of_entry, windows] : asked) {
    const SegmentEntry& entry = *place_of_entry;
    PJ_ASSIGN(const auto file, store.segment(entry));
    const std::size_t place = places_of(schema, file->format_version())[time_column];
    for (std::size_t g = 0; g < file->groups(); ++g) {
      if (store.leaves_out(entry, g)) continue;
      add({0, file, g, {}, static_cast<std::size_t>(file->meta().groups[g].rows), {}}, windows,
          file->int_bounds(g, place));
    }
  }
  const auto windows = windows_of(nullptr);
  for (const TailBlock& block : store.tail()) {
    if (block.table != table) continue;
    const bool known = time_column == schema.time_column;
    add({0, nullptr, 0, block, static_cast<std::size_t>(block.rows), {}}, windows,
        known ? std::optional(IntBounds{block.first_ns, block.last_ns}) : std::nullopt);
  }
  return base::ok_status();
}

PieceReader::PieceReader(QuerySession& session, Table table)
    : session_(session), table_(table), slots_(schema_of(table).columns.size()) {}

std::shared_ptr<PieceReader> PieceReader::lend(QuerySession& session, Table table) {
  auto reader = session.take_reader(table);
  if (reader == nullptr) reader = std::make_shared<PieceReader>(session, table);
  reader->stats_ = {};
  return {reader.get(), [reader, &session, table](PieceReader*) {
            reader->forget();
            session.give_back(table, reader);
          }};
}

// Files and blocks of the last unit; memory stays.
void PieceReader::forget() {
  unit_ = nullptr;
  view_.reset();
  for (Slot& slot : slots_) {
    slot.map = nullptr;
    slot.loaded = SIZE_MAX;
    slot.has_names = false;
    slot.pages.clear();
  }
}

const void* PieceReader::owner() const {
  return unit_->file != nullptr ? static_cast<const void*>(unit_->file.get())
                                : static_cast<const void*>(unit_->block.bytes.get());
}

base::Status PieceReader::begin(const Unit& unit) {
  forget();
  unit_ = &unit;
  from_ = to_ = 0;
  if (unit.file != nullptr) {
    places_ = places_of(schema_of(table_), unit.file->format_version());
    return base::ok_status();
  }
  PJ_ASSIGN(auto view, BlockView::open(*unit.block.bytes, log_segment_name(unit.block.place.segment)));
  view_.emplace(std::move(view));
  return base::ok_status();
}

bool PieceReader::next() {
  from_ = to_;
  to_ = std::min(unit_->rows, from_ + kPieceRows);
  ++piece_;
  if (from_ < to_) stats_.rows += to_ - from_;
  return from_ < to_;
}

// `entries`: the texts of the unit's dictionary, where they are known.
base::Result<PieceReader::Slot*> PieceReader::load(std::size_t column, std::size_t entries) {
  Slot& slot = slots_[column];
  if (slot.loaded == piece_) return &slot;
  ++stats_.pages[column];
  slot.loaded = piece_;
  if (view_) {
    PJ_ASSIGN(Batch batch, view_->read(std::array{column}));
    slot.column = std::move(batch.columns[0]);
  } else if (places_[column] == kAbsentColumn) {
    slot.column.codes.assign(rows(), kNullCode);
  } else {
    PJ_TRY(unit_->file->read_again(unit_->group, places_[column], {from_, to_}, slot.column, entries,
                                   &stats_.bytes));
  }
  if (entries == SIZE_MAX || (unit_->file != nullptr && places_[column] != kAbsentColumn &&
                              unit_->file->meta().groups[unit_->group].columns[places_[column]].nulls == 0))
    return &slot;
  const auto null = static_cast<std::uint32_t>(entries);
  auto& codes = slot.column.codes;
  std::transform(codes.begin(), codes.end(), codes.begin(), [null](auto c) { return std::min(c, null); });
  return &slot;
}

base::Result<std::span<const std::int64_t>> PieceReader::ints(std::size_t column) {
  PJ_ASSIGN(const Slot* slot, load(column));
  return std::span<const std::int64_t>(slot->column.ints);
}
base::Result<std::span<const double>> PieceReader::doubles(std::size_t column) {
  PJ_ASSIGN(const Slot* slot, load(column));
  return std::span<const double>(slot->column.doubles);
}

base::Result<std::size_t> PieceReader::texts_in(std::size_t column) {
  if (slots_[column].has_names) return slots_[column].names.dictionary.size();
  PJ_ASSIGN(const auto numbers, map(column));
  return numbers->size() - 1;
}

base::Result<std::span<const std::uint32_t>> PieceReader::codes(std::size_t column) {
  PJ_ASSIGN(const std::size_t entries, texts_in(column));
  PJ_ASSIGN(const Slot* slot, load(column, entries));
  return std::span<const std::uint32_t>(slot->column.codes);
}

bool PieceReader::is_in_file(std::size_t column) const {
  return !view_ && places_[column] != kAbsentColumn && slots_[column].loaded != piece_;
}

base::Status PieceReader::select(std::size_t column, std::span<const std::uint8_t> passes, bool narrow,
                                 std::vector<std::uint32_t>& selected) {
  if (!narrow && is_in_file(column)) {
    ++stats_.pages[column];
    selected.clear();
    return unit_->file->select(unit_->group, places_[column], {from_, to_}, passes, selected, &stats_.bytes);
  }
  if (narrow) {
    PJ_ASSIGN(const auto codes, codes_at(column, selected));
    std::size_t n = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      selected[n] = selected[i];
      n += passes[codes[i]] != 0 ? 1U : 0U;
    }
    selected.resize(n);
    return base::ok_status();
  }
  PJ_ASSIGN(const auto codes, this->codes(column));
  select_rows(codes.size(), false, selected, [&](std::size_t i) { return passes[codes[i]] != 0; });
  return base::ok_status();
}

base::Status PieceReader::select_one(std::size_t column, std::uint32_t code,
                                     std::vector<std::uint32_t>& selected) {
  if (!is_in_file(column)) {
    PJ_ASSIGN(const auto codes, this->codes(column));
    select_equal(codes, code, selected);
    return base::ok_status();
  }
  PJ_ASSIGN(const std::size_t entries, texts_in(column));
  one_passes_.assign(entries + 1, 0);
  one_passes_[code] = 1;
  return select(column, one_passes_, false, selected);
}

base::Result<std::span<const std::uint32_t>> PieceReader::codes_at(std::size_t column,
                                                                   std::span<const std::uint32_t> places) {
  // Of more, a look for each costs more than to unpack all.
  constexpr std::size_t kFew = 8;
  Slot& slot = slots_[column];
  if (places.size() < rows() / kFew && is_in_file(column)) {
    PJ_ASSIGN(const std::size_t entries, texts_in(column));
    ++stats_.pages[column];
    PJ_TRY(unit_->file->pick(unit_->group, places_[column], {from_, to_}, places, entries, slot.some,
                             &stats_.bytes));
    return std::span<const std::uint32_t>(slot.some);
  }
  PJ_ASSIGN(const auto codes, this->codes(column));
  slot.some.resize(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) slot.some[i] = codes[places[i]];
  return std::span<const std::uint32_t>(slot.some);
}

base::Status PieceReader::read_names(std::size_t column, Column& out) {
  if (view_) {
    PJ_ASSIGN(Batch batch, view_->read(std::array{column}));
    out = std::move(batch.columns[0]);
  } else if (places_[column] != kAbsentColumn) {
    PJ_TRY(unit_->file->read_again(unit_->group, places_[column], {0, 0}, out, SIZE_MAX, &stats_.bytes));
  } else {
    out = {};
  }
  return base::ok_status();
}

base::Result<std::span<const std::string_view>> PieceReader::dictionary(std::size_t column) {
  Slot& slot = slots_[column];
  if (!slot.has_names) PJ_TRY(read_names(column, slot.names));
  slot.has_names = true;
  return std::span<const std::string_view>(slot.names.dictionary);
}

base::Result<std::shared_ptr<const QuerySession::CodeMap>> PieceReader::map(std::size_t column) {
  Slot& slot = slots_[column];
  if (slot.map == nullptr) slot.map = session_.find_map({owner(), unit_->group, column});
  if (slot.map == nullptr) PJ_TRY(make_map(column, slot));
  return slot.map;
}

base::Status PieceReader::make_map(std::size_t column, Slot& slot) {
  Column read;
  PJ_TRY(read_names(column, read));
  const auto texts = session_.texts(schema_of(table_).columns[column].name);
  QuerySession::CodeMap numbers;
  numbers.reserve(read.dictionary.size() + 1);
  for (const auto text : read.dictionary) numbers.push_back(texts->intern(text));
  numbers.push_back(0);
  slot.map = std::make_shared<const QuerySession::CodeMap>(std::move(numbers));
  std::shared_ptr<const void> keeper = unit_->block.bytes;
  if (unit_->file != nullptr) keeper = unit_->file;
  session_.keep_map({owner(), unit_->group, column}, std::move(keeper), slot.map);
  return base::ok_status();
}

base::Result<std::span<const PageMeta>> PieceReader::pages_of_piece(std::size_t column) {
  Slot& slot = slots_[column];
  if (view_ || places_[column] == kAbsentColumn) return std::span<const PageMeta>();
  if (slot.pages.empty()) {
    PJ_ASSIGN(slot.pages, unit_->file->pages(unit_->group, places_[column]));
  }
  const auto row = [&](std::size_t p) {
    return p < slot.pages.size() ? static_cast<std::size_t>(slot.pages[p].first_row) : unit_->rows;
  };
  std::size_t first = 0, last = slot.pages.size();
  while (first < last && row(first + 1) <= from_) ++first;
  while (first < last && row(last - 1) >= to_) --last;
  return std::span<const PageMeta>(slot.pages).subspan(first, last - first);
}

base::Result<Cover> PieceReader::cover(std::size_t column, const TimeWindow& window) {
  std::optional<IntBounds> bounds;
  if (view_ && column == schema_of(table_).time_column) bounds = {view_->first_ns(), view_->last_ns()};
  PJ_ASSIGN(const auto pages, pages_of_piece(column));
  for (const PageMeta& page : pages) {
    IntBounds b;
    if (!page.bounds.known || page.bounds.smallest.size() != 8 || page.bounds.largest.size() != 8)
      return Cover::kSome;
    std::memcpy(&b.first, page.bounds.smallest.data(), 8);
    std::memcpy(&b.second, page.bounds.largest.data(), 8);
    bounds = bounds ? IntBounds{std::min(bounds->first, b.first), std::max(bounds->second, b.second)} : b;
  }
  if (!bounds) return Cover::kSome;
  if (!may_hold(window, *bounds)) return Cover::kNone;
  return window.holds(bounds->first) && window.holds(bounds->second) ? Cover::kAll : Cover::kSome;
}

base::Result<Cover> PieceReader::cover(std::size_t column) {
  Cover out = Cover::kNone;
  for (const TimeWindow& w : unit_->windows) {
    PJ_ASSIGN(const Cover one, cover(column, w));
    if (one == Cover::kAll) return one;
    if (one == Cover::kSome) out = one;
  }
  return out;
}

base::Result<bool> PieceReader::may_hold_text(std::size_t column, std::string_view text) {
  PJ_ASSIGN(const auto pages, pages_of_piece(column));
  const auto lacks = [&](const PageMeta& page) {
    return page.all_null ||
           (page.bounds.known && (text < page.bounds.smallest || text > page.bounds.largest));
  };
  return pages.empty() || !std::all_of(pages.begin(), pages.end(), lacks);
}

std::size_t workers_of(const QuerySession& session, std::size_t units) {
  return std::clamp<std::size_t>(units / 2, 1, std::max(1U, session.options().threads));
}

base::Status learn_texts(QuerySession& session, Table table, const std::vector<Unit>& units,
                         std::span<const std::size_t> columns) {
  std::vector<const Unit*> unknown;
  for (const Unit& unit : units) {
    const void* owner =
        unit.file != nullptr ? static_cast<const void*>(unit.file.get()) : unit.block.bytes.get();
    const bool known = std::all_of(columns.begin(), columns.end(), [&](std::size_t c) {
      return session.find_map({owner, unit.group, c}) != nullptr;
    });
    if (!known) unknown.push_back(&unit);
  }
  return wait_together(unknown.size(), [&](std::size_t i) -> base::Status {
    const auto reader = PieceReader::lend(session, table);
    PJ_TRY(reader->begin(*unknown[i]));
    for (const auto c : columns) PJ_TRY(reader->map(c));
    return base::ok_status();
  });
}

base::Status read_units(QuerySession& session, Table table, const std::vector<Unit>& units,
                        const UnitWork& work) {
  const std::size_t workers = workers_of(session, units.size());
  std::atomic<std::size_t> taken{0};
  std::vector<base::Status> ends(workers, base::ok_status());
  std::vector<QueryStats> stats(workers);
  const auto run = [&](std::size_t worker) -> base::Status {
    const auto lent = PieceReader::lend(session, table);
    PieceReader& reader = *lent;
    for (std::size_t i = taken++; i < units.size(); i = taken++) {
      PJ_TRY(reader.begin(units[i]));
      PJ_ASSIGN(const bool wanted, work.begin ? work.begin(worker, reader) : base::Result<bool>(true));
      while (wanted && reader.next()) PJ_TRY(work.piece(worker, reader));
      if (wanted && work.end) PJ_TRY(work.end(worker, reader));
      stats[worker] = reader.stats();
    }
    return base::ok_status();
  };
  std::vector<std::thread> threads;
  for (std::size_t w = 1; w < workers; ++w)
    threads.emplace_back([&, w] {
      ends[w] = run(w);
      if (!ends[w].ok()) taken = units.size();
    });
  ends[0] = run(0);
  if (!ends[0].ok()) taken = units.size();
  for (auto& t : threads) t.join();
  for (const auto& s : stats) session.stats().add(s);
  for (auto& end : ends) PJ_TRY(end);
  return base::ok_status();
}

}  // namespace perjoule::bus
