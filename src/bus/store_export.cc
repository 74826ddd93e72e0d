#include "bus/store_export.hpp"

namespace perjoule::bus {

base::Result<std::uint64_t> export_table(const StoreReader& store, const ExportRequest& request, PutBytes put,
                                         const std::function<void(std::uint64_t)>& progress) {
  const TableSchema& schema = schema_of(request.table);
  const auto sink = make_sink(request.format, sink_columns(schema), std::string(schema.name), std::move(put));
  std::uint64_t rows = 0;
  const auto on_batch = [&](const Batch& batch) -> base::Status {
    PJ_TRY(sink->write(batch));
    rows += batch.rows;
    if (progress) progress(rows);
    return base::ok_status();
  };
  PJ_TRY(store.scan({request.table, {}, request.window}, on_batch));
  PJ_TRY(sink->end());
  return rows;
}

}  // namespace perjoule::bus
