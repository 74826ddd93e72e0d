// One table of a store, with what is in the log but not sealed, as CSV, JSON lines, an Arrow stream or one
// Parquet file, in the order of writing. Thread rule: one thread per call. Ownership: values. Units: rows,
// Unix nanoseconds.
#pragma once

#include <cstdint>
#include <functional>

#include "bus/batch_sink.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {

struct ExportRequest {
  Table table = Table::kJoules;
  StreamFormat format = StreamFormat::kParquet;
  TimeWindow window;  // of the table's time column
};

// Rows written. `progress` is called with the rows so far, which may end below the table's rows where there
// is a window. Errors: of scan(), and of `put`.
base::Result<std::uint64_t> export_table(const StoreReader& store, const ExportRequest& request, PutBytes put,
                                         const std::function<void(std::uint64_t)>& progress = {});

}  // namespace perjoule::bus
