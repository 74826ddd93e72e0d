#include "answers/duckdb_tail.hpp"

#include <algorithm>
#include <atomic>

#include "bus/file_columns.hpp"
#include "bus/log_layout.hpp"

namespace perjoule::answers {
namespace {

using duckdb::Handle;
using duckdb::Library;

constexpr std::size_t kNoColumn = SIZE_MAX;  // one of DuckDB's own, such as the row's number

int type_of(bus::ColumnType type) {
  switch (type) {
    case bus::ColumnType::kInt64:
      return duckdb::kBigInt;
    case bus::ColumnType::kDouble:
      return duckdb::kDouble;
    case bus::ColumnType::kBool:
      return duckdb::kBoolean;
    case bus::ColumnType::kText:
      return duckdb::kVarchar;
  }
  return duckdb::kVarchar;
}

// One question's scan of one table.
struct Scan {
  std::vector<std::size_t> columns;  // of the schema, in the order that DuckDB wants them
  std::atomic<std::size_t> next = 0;
};

// One thread's piece of it.
struct Work {
  bus::Batch batch;
  std::size_t row = 0;
};

base::Result<bus::Batch> read_piece(const TailTable& table, const TailTable::Piece& piece,
                                    const std::vector<std::size_t>& columns) {
  if (piece.file == nullptr) {
    PJ_ASSIGN(const auto view,
              bus::BlockView::open(*piece.block.bytes, bus::log_segment_name(piece.block.place.segment)));
    return view.read(columns);
  }
  const auto places = bus::places_of(bus::schema_of(table.table), piece.file->format_version());
  std::vector<std::size_t> stored;
  for (const std::size_t c : columns) {
    if (places[c] != bus::kAbsentColumn) stored.push_back(places[c]);
  }
  PJ_ASSIGN(bus::Batch batch, piece.file->read(piece.group, stored));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (places[columns[i]] != bus::kAbsentColumn) continue;
    bus::Column nulls;
    nulls.type = bus::ColumnType::kText;
    nulls.codes.assign(batch.rows, bus::kNullCode);
    batch.columns.insert(batch.columns.begin() + static_cast<std::ptrdiff_t>(i), std::move(nulls));
  }
  return batch;
}

void fill_vector(const Library& duck, const bus::Column& c, std::size_t from, std::size_t rows,
                 Handle vector) {
  std::uint64_t* valid = nullptr;
  for (std::size_t i = 0; i < rows; ++i) {
    if (!c.is_null(from + i)) continue;
    if (valid == nullptr) {
      duck.make_validity(vector);
      valid = duck.vector_validity(vector);
    }
    valid[i / 64] &= ~(std::uint64_t{1} << (i % 64));
  }
  void* data = duck.vector_data(vector);
  if (c.type == bus::ColumnType::kInt64)
    std::copy_n(c.ints.data() + from, rows, static_cast<std::int64_t*>(data));
  if (c.type == bus::ColumnType::kDouble)
    std::copy_n(c.doubles.data() + from, rows, static_cast<double*>(data));
  if (c.type == bus::ColumnType::kBool)
    std::copy_n(c.bools.data() + from, rows, static_cast<std::uint8_t*>(data));
  if (c.type != bus::ColumnType::kText) return;
  for (std::size_t i = 0; i < rows; ++i) {
    if (c.is_null(from + i)) continue;
    const std::string_view text = c.text(from + i);
    duck.set_text(vector, i, text.data(), text.size());
  }
}

// ---- what DuckDB calls ----

// A callback is given nothing but a handle, which only the library can read. It stays open until the process
// ends, and so does this.
std::atomic<const Library*> g_library = nullptr;

const Library& library() { return *g_library.load(std::memory_order_acquire); }

void on_bind(Handle info) {
  const auto& table = *static_cast<const TailTable*>(library().bind_extra(info));
  for (const auto& c : bus::schema_of(table.table).columns) {
    Handle type = library().create_logical_type(type_of(c.type));
    library().bind_column(info, std::string(c.name).c_str(), type);
    library().destroy_logical_type(&type);
  }
  library().bind_cardinality(info, table.rows, true);
}

void on_init(Handle info) {
  const auto& table = *static_cast<const TailTable*>(library().init_extra(info));
  auto scan = std::make_unique<Scan>();
  const std::size_t known = bus::schema_of(table.table).columns.size();
  for (std::uint64_t i = 0; i < library().init_columns(info); ++i) {
    const std::uint64_t c = library().init_column(info, i);
    scan->columns.push_back(c < known ? static_cast<std::size_t>(c) : kNoColumn);
  }
  library().init_threads(info, std::max<std::size_t>(table.pieces.size(), 1));
  library().init_data(info, scan.release(), [](void* p) { delete static_cast<Scan*>(p); });
}

void on_local_init(Handle info) {
  library().init_data(info, new Work, [](void* p) { delete static_cast<Work*>(p); });
}

// The next piece with rows; false: there is none, or it cannot be read.
bool next_piece(Handle info, const TailTable& table, Scan& scan, Work& work) {
  std::vector<std::size_t> wanted;
  for (const std::size_t c : scan.columns) {
    if (c != kNoColumn) wanted.push_back(c);
  }
  while (work.row == work.batch.rows) {
    const std::size_t n = scan.next.fetch_add(1);
    if (n >= table.pieces.size()) return false;
    auto batch = read_piece(table, table.pieces[n], wanted);
    if (!batch.ok()) {
      library().run_error(info, batch.error().message().c_str());
      return false;
    }
    work.batch = std::move(batch).value();
    work.row = 0;
  }
  return true;
}

void on_run(Handle info, Handle chunk) {
  const auto& table = *static_cast<const TailTable*>(library().run_extra(info));
  auto& scan = *static_cast<Scan*>(library().run_data(info));
  auto& work = *static_cast<Work*>(library().run_local_data(info));
  if (!next_piece(info, table, scan, work)) return library().set_chunk_rows(chunk, 0);
  const std::size_t rows =
      std::min(work.batch.rows - work.row, static_cast<std::size_t>(library().vector_size()));
  std::size_t from = 0;
  for (std::size_t i = 0; i < scan.columns.size(); ++i) {
    if (scan.columns[i] == kNoColumn) continue;
    fill_vector(library(), work.batch.columns[from++], work.row, rows, library().chunk_vector(chunk, i));
  }
  work.row += rows;
  library().set_chunk_rows(chunk, rows);
}

}  // namespace

std::string TailTable::function_name() const {
  return "perjoule_tail_" + std::string(bus::schema_of(table).name);
}

base::Status TailTable::register_in(Handle connection) {
  static const Library kKept = *library;
  g_library.store(&kKept, std::memory_order_release);
  Handle function = kKept.create_table_function();
  kKept.function_name(function, function_name().c_str());
  kKept.function_extra(function, this, nullptr);
  kKept.function_bind(function, on_bind);
  kKept.function_init(function, on_init);
  kKept.function_local_init(function, on_local_init);
  kKept.function_run(function, on_run);
  kKept.function_projects(function, true);
  const int failed = kKept.register_table_function(connection, function);
  kKept.destroy_table_function(&function);
  if (failed == 0) return base::ok_status();
  return base::missing("query the store", library->path, "it takes no table functions",
                       "DuckDB 1.2 or newer is needed. Type: ./dev duckdb");
}

base::Result<std::unique_ptr<TailTable>> tail_of(const Library& library, const bus::StoreReader& store,
                                                 bus::Table table) {
  auto out = std::make_unique<TailTable>();
  out->library = &library;
  out->table = table;
  const std::string_view name = bus::schema_of(table).name;
  for (const auto& entry : store.manifest().segments) {
    if (entry.table != name || !store.leaves_out_some_of(entry)) continue;
    PJ_ASSIGN(const auto file, store.segment(entry));
    for (std::size_t g = 0; g < file->groups(); ++g) {
      if (store.leaves_out(entry, g)) continue;
      out->pieces.push_back({{}, file, g});
      out->rows += static_cast<std::uint64_t>(file->meta().groups[g].rows);
    }
  }
  for (const auto& block : store.tail()) {
    if (block.table != table) continue;
    out->pieces.push_back({block});
    out->rows += block.rows;
  }
  return out;
}

}  // namespace perjoule::answers
