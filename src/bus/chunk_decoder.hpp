// Decodes the pages of one column chunk, all of them or those of some rows, and compares every page with the
// page index, its own CRC and the form the writer gives it. Thread rule: one thread. Ownership: borrows the
// file's bytes and the metadata; the column it fills owns what it holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/columns.hpp"
#include "bus/inflated_pages.hpp"
#include "bus/parquet_meta.hpp"
#include "bus/parquet_reader.hpp"

namespace perjoule::bus {

// Do the pages lie one after the other in the chunk, from its data offset to its end, and cover its rows in
// order?
bool pages_tile(const ChunkMeta& chunk, const std::vector<PageMeta>& pages);

class ChunkDecoder {
 public:
  // `pages`: from the page index, and pages_tile.
  ChunkDecoder(std::string_view file, const ReadLimits& limits, const SchemaColumn& spec,
               const ChunkMeta& chunk, const std::vector<PageMeta>& pages);
  ~ChunkDecoder();
  ChunkDecoder(const ChunkDecoder&) = delete;
  ChunkDecoder& operator=(const ChunkDecoder&) = delete;

  // The rows `wanted` of the chunk, which has them. The first fault, if there is one. What `out` held is
  // gone, but its memory is used again. `entries`: how many texts the chunk's dictionary is known to have; it
  // is then not read.
  std::optional<SegmentFault> run(RowRange wanted, Column& out, std::size_t entries = kReadDictionary);
  static constexpr std::size_t kReadDictionary = SIZE_MAX;
  // Of a text column whose dictionary is known: appends the rows of `wanted`, counted from its first one,
  // whose code passes. The last of `passes` is for NULL.
  std::optional<SegmentFault> select(RowRange wanted, std::span<const std::uint8_t> passes,
                                     std::vector<std::uint32_t>& selected);
  // The codes of these rows of `wanted`, which ascend; NULL has the code `entries`.
  std::optional<SegmentFault> pick(RowRange wanted, std::span<const std::uint32_t> rows, std::size_t entries,
                                   std::vector<std::uint32_t>& codes);
  // Bit i: the CRC of page i fitted before, in the same mapping. Set and looked at by later runs.
  void remember_pages(std::atomic<std::uint64_t>* whole) { whole_ = whole; }
  // Small pages are inflated once as long as these live.
  void keep_pages(InflatedPages* kept) { kept_ = kept; }
  // NULLs of each page that was decoded, by its place in `pages`; -1: not decoded.
  const std::vector<std::int64_t>& nulls_of_pages() const { return nulls_of_; }
  // Of the pages that were opened, headers included.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  class Inflater;

  std::optional<SegmentFault> fault() const { return SegmentFault{page_at_, spec_.name, why_}; }
  bool bad(std::string why) { return why_ = std::move(why), false; }
  std::size_t rows_of(std::size_t page) const;
  bool open_page(std::int64_t at, std::int64_t bytes, PageHeader& header, std::size_t bit);
  static Inflater& inflater();
  bool inflate(std::string_view packed, std::size_t expected, char* out);
  bool read_dictionary();
  bool open_values(std::size_t page);
  bool read_page(std::size_t page);
  bool select_in_page(std::size_t page, RowRange wanted, std::span<const std::uint8_t> passes,
                      std::vector<std::uint32_t>& selected);
  bool pick_in_page(std::size_t page, RowRange wanted, std::span<const std::uint32_t> rows,
                    std::size_t entries, std::uint32_t* codes);
  bool read_levels(const PageHeader& header);
  bool split_values(const PageHeader& header);
  bool read_values();
  bool read_ints();
  bool read_doubles();
  bool read_bools();
  bool read_codes();
  bool read_page_codes();
  void mark_valid();
  template <class T>
  void spread(std::vector<T>& column, T null);

  std::string_view file_;
  const ReadLimits& limits_;
  const SchemaColumn& spec_;
  const ChunkMeta& chunk_;
  const std::vector<PageMeta>& pages_;
  Column* out_ = nullptr;
  Column page_codes_;  // where a page has NULLs
  std::size_t page_at_ = 0, done_ = 0, count_ = 0, present_ = 0;
  std::string_view body_, values_;
  std::string header_, why_;
  std::size_t entries_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::atomic<std::uint64_t>* whole_ = nullptr;
  InflatedPages* kept_ = nullptr;
  std::shared_ptr<const std::string> kept_page_;  // that values_ looks at
  std::vector<std::uint32_t> levels_;
  std::vector<std::int64_t> nulls_of_;
};

}  // namespace perjoule::bus
