// Any bytes as a segment, read whole and in parts, as a Bloom filter and as a manifest: rows or one error,
// never a crash, and no more memory than the limits allow.
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "bus/bloom.hpp"
#include "bus/manifest.hpp"
#include "bus/parquet_reader.hpp"

namespace {

namespace bus = perjoule::bus;

void must(bool holds) {
  if (!holds) __builtin_trap();
}

// What check() accepted must be readable in parts, and no text of a column may be denied.
void read_parts(const bus::ParquetFile& file, std::size_t group, const bus::Batch& all) {
  for (std::size_t c = 0; c < all.columns.size(); ++c) {
    const auto pages = file.pages(group, c);
    must(pages.ok() && !pages->empty());
    (void)file.int_bounds(group, pages->size() - 1, c);
    (void)file.text_bounds(group, pages->size() - 1, c);
    for (const auto text : all.columns[c].dictionary) {
      const auto answer = file.may_contain(group, c, text);
      must(answer.ok());
    }
    const auto first = static_cast<std::size_t>(pages->back().first_row);
    const std::size_t column[] = {c};
    const auto part = file.read(group, column, {first, all.rows});
    must(part.ok() && part->rows == all.rows - first);
    for (std::size_t i = first; i < all.rows; ++i)
      must(all.columns[c].is_null(i) == part->columns[0].is_null(i - first));
  }
}

// Whatever check() said: errors, no crash.
void read_anything(const bus::ParquetFile& file, std::size_t group, std::size_t columns) {
  for (std::size_t c = 0; c < columns; ++c) {
    (void)file.pages(group, c);
    (void)file.int_bounds(group, 0, c);
    (void)file.text_bounds(group, c);
    const std::size_t column[] = {c};
    (void)file.read(group, column, {1, 5});
    if (file.meta().schema[c].type == bus::ParquetType::kByteArray) (void)file.may_contain(group, c, "req-1");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)bus::parse_manifest(bytes, "manifest");
  if (const auto bloom = bus::BloomView::of(bytes)) (void)bloom->may_contain("req-1");
  const auto file = bus::ParquetFile::open(std::move(bytes), "input", {1 << 12, 1 << 20});
  if (!file.ok()) return 0;
  const auto fault = file->check();
  std::vector<std::size_t> columns(file->meta().schema.size());
  std::iota(columns.begin(), columns.end(), std::size_t{0});
  for (std::size_t g = 0; g < file->groups(); ++g) {
    const auto batch = file->read(g, columns);
    read_anything(*file, g, columns.size());
    if (fault.has_value()) continue;
    must(batch.ok());
    read_parts(*file, g, *batch);
  }
  return 0;
}
