// How the queries read: a table's rows in units (a row group of a sealed file, or a block of the tail), each
// in pieces of at most a page; of a piece only the columns that are asked for. Internal to the bus. Thread
// rule: a PieceReader from one thread. Ownership: spans live until the next piece; units share files and
// blocks.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "bus/query_session.hpp"

namespace perjoule::bus {

struct Unit {
  std::size_t number = 0;  // its place among those that are read, which are in the order of writing
  std::shared_ptr<const ParquetFile> file;
  std::size_t group = 0;
  TailBlock block;  // if there is no file
  std::size_t rows = 0;
  std::vector<TimeWindow> windows;  // of the time column: which rows are asked for. One, or two apart
};

// work(i) for i < n from several threads, which mostly wait for the disk: more than a question has to reckon
// with. The first error.
base::Status wait_together(std::size_t n, const std::function<base::Status(std::size_t i)>& work);

// All units of a table that may hold rows in the window of an int64 column. Error: of a damaged log or file.
base::Result<std::vector<Unit>> units_of(QuerySession& session, Table table, std::size_t time_column,
                                         const TimeWindow& window);
// The same, of each segment another part of the time: none for one that is left out; nullptr stands for the
// tail. Adds to `units`.
using WindowsOf = std::function<std::vector<TimeWindow>(const SegmentEntry* segment)>;
base::Status add_units(QuerySession& session, Table table, std::size_t time_column,
                       const WindowsOf& windows_of, std::vector<Unit>& units);

enum class Cover : std::uint8_t { kNone, kSome, kAll };

class PieceReader {
 public:
  PieceReader(QuerySession& session, Table table);
  // One of the session's, which gets it back.
  static std::shared_ptr<PieceReader> lend(QuerySession& session, Table table);

  base::Status begin(const Unit& unit);
  // False: the unit has no more.
  bool next();
  const Unit& unit() const { return *unit_; }
  std::size_t rows() const { return to_ - from_; }

  base::Result<std::span<const std::int64_t>> ints(std::size_t column);
  base::Result<std::span<const double>> doubles(std::size_t column);
  // NULL has the code after the last of the dictionary.
  base::Result<std::span<const std::uint32_t>> codes(std::size_t column);
  // `selected` becomes the places of the rows whose code passes (the last of `passes` is for NULL), or keeps
  // those of its own that do (`narrow`). Less work than codes() where runs pass or fail as a whole or few
  // rows are left.
  base::Status select(std::size_t column, std::span<const std::uint8_t> passes, bool narrow,
                      std::vector<std::uint32_t>& selected);
  // The same of one code.
  base::Status select_one(std::size_t column, std::uint32_t code, std::vector<std::uint32_t>& selected);
  // The codes of some places, which ascend; lives until the column is read again.
  base::Result<std::span<const std::uint32_t>> codes_at(std::size_t column,
                                                        std::span<const std::uint32_t> places);
  // The numbers of the unit's dictionary.
  base::Result<std::shared_ptr<const QuerySession::CodeMap>> map(std::size_t column);
  // The unit's dictionary, of a column whose texts are too many to be kept by number. Lives until begin().
  base::Result<std::span<const std::string_view>> dictionary(std::size_t column);
  // By the column's bounds; values of kSome must be compared.
  base::Result<Cover> cover(std::size_t column, const TimeWindow& window);
  // Of the unit's windows together.
  base::Result<Cover> cover(std::size_t column);
  // False: the text is in none of the piece's rows, by the column's bounds.
  base::Result<bool> may_hold_text(std::size_t column, std::string_view text);
  // Since it was lent.
  const QueryStats& stats() const { return stats_; }

 private:
  struct Slot {
    Column column;
    std::vector<std::uint32_t> some;  // of codes_at()
    std::shared_ptr<const QuerySession::CodeMap> map;
    std::size_t loaded = SIZE_MAX;  // the piece whose values it holds
    bool has_names = false;
    Column names;  // the dictionary alone
    std::vector<PageMeta> pages;
  };
  base::Result<Slot*> load(std::size_t column, std::size_t entries = SIZE_MAX);
  // Of the unit's dictionary.
  base::Result<std::size_t> texts_in(std::size_t column);
  // Whether its values are still in the file alone.
  bool is_in_file(std::size_t column) const;
  // The pages of the unit that hold rows of the piece; nothing in a block.
  base::Result<std::span<const PageMeta>> pages_of_piece(std::size_t column);
  base::Status read_names(std::size_t column, Column& out);
  base::Status make_map(std::size_t column, Slot& slot);
  const void* owner() const;
  void forget();

  QuerySession& session_;
  const Table table_;
  const Unit* unit_ = nullptr;
  std::optional<BlockView> view_;
  std::vector<std::size_t> places_;
  std::vector<Slot> slots_;
  std::vector<std::uint8_t> one_passes_;
  std::size_t from_ = 0, to_ = 0, piece_ = 0;
  QueryStats stats_;
};

// Reads all units, with at most options().threads threads: `begin` is called for each unit, with the number
// of the worker that has it, and says whether it is to be read; `piece` for each of its pieces; `end` after
// them.
struct UnitWork {
  std::function<base::Result<bool>(std::size_t worker, PieceReader& reader)> begin;
  std::function<base::Status(std::size_t worker, PieceReader& reader)> piece;
  std::function<base::Status(std::size_t worker, PieceReader& reader)> end;
};
// Numbers every text of these columns in these units, so that a query knows how many there are.
base::Status learn_texts(QuerySession& session, Table table, const std::vector<Unit>& units,
                         std::span<const std::size_t> columns);
std::size_t workers_of(const QuerySession& session, std::size_t units);
base::Status read_units(QuerySession& session, Table table, const std::vector<Unit>& units,
                        const UnitWork& work);

}  // namespace perjoule::bus
