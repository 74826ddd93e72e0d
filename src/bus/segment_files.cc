#include "bus/segment_files.hpp"

#include "bus/engine.hpp"
#include "bus/store.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {

base::Status read_segment(base::Env& env, const std::string& directory, const SegmentEntry& segment,
                          const std::vector<std::string>& columns, const OnBatch& on_batch) {
  auto only = std::make_shared<Manifest>();
  only->segments.push_back(segment);
  PJ_ASSIGN(const auto store, StoreReader::open(env, directory, Snapshot{std::move(only), {}}));
  return store.scan({*find_table(segment.table), columns, {}, {}}, on_batch);
}

base::Result<SegmentEntry> write_rollup(base::Env& env, const std::string& directory, Table rollup,
                                        std::uint64_t part,
                                        const std::function<base::Status(const OnBatch&)>& for_each_batch) {
  const TableSchema& schema = schema_of(rollup);
  const std::string file = segment_file_name(rollup, part);
  PJ_ASSIGN(auto writer, ParquetWriter::create(env, directory + "/" + file, schema));
  EncodingOptions encoding;
  encoding.page_rows = std::size_t{1} << 13;  // a question reads few rows of a rollup
  PJ_TRY(for_each_batch([&](const Batch& batch) -> base::Status {
    PJ_ASSIGN(auto group, encode_row_group(schema, batch, encoding));
    return writer.append(std::move(group));
  }));
  PJ_ASSIGN(auto summary, writer.seal());
  return SegmentEntry{std::string(schema.name), file, std::move(summary), {}, {}};
}

}  // namespace perjoule::bus
