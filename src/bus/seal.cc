#include "bus/seal.hpp"

#include "bus/store_folder.hpp"

namespace perjoule::bus {

namespace {

// Adds blocks from `next` on until there are enough rows to be sorted together.
base::Status add_stretch(TailReader& log, const std::vector<TailBlock>& blocks, std::size_t sort_rows,
                         std::size_t& next, BlockMerge& merge) {
  merge.clear();
  while (next < blocks.size() && (merge.rows() == 0 || merge.rows() + blocks[next].rows <= sort_rows)) {
    const TailBlock& block = blocks[next++];
    PJ_ASSIGN(const auto bytes, log.bytes_of(block));
    PJ_ASSIGN(const auto view, BlockView::open(*bytes, "log entry " + std::to_string(block.entry)));
    PJ_TRY(merge.add(view));
  }
  return base::ok_status();
}

}  // namespace

base::Result<SegmentEntry> seal_blocks(base::Env& env, const std::string& directory, Table table,
                                       const std::vector<TailBlock>& blocks, std::uint64_t part,
                                       const SealOptions& options, BlockMerge& merge) {
  const std::string file = segment_file_name(table, part);
  PJ_ASSIGN(auto writer, ParquetWriter::create(env, directory + "/" + file, schema_of(table)));
  const auto write = [&](const Batch& batch) -> base::Status {
    PJ_ASSIGN(auto group, encode_row_group(schema_of(table), batch, options.encoding));
    return writer.append(std::move(group));
  };
  TailReader log(env, log_directory_of(directory));
  for (std::size_t next = 0; next < blocks.size();) {
    PJ_TRY(add_stretch(log, blocks, options.sort_rows, next, merge));
    PJ_TRY(merge.for_each_batch(options.group_rows, write));
  }
  PJ_ASSIGN(auto summary, writer.seal());
  return SegmentEntry{std::string(schema_of(table).name), file, std::move(summary)};
}

}  // namespace perjoule::bus
