// Batches as an Arrow IPC stream (arrow.apache.org, columnar format 1.x, metadata version 5): what pyarrow,
// pandas, polars and DuckDB read without a copy. One message with the schema, one per batch, an end mark; no
// compression, no dictionaries: text is plain UTF-8. Little-endian. Thread rule: pure functions. Ownership:
// values.
#pragma once

#include <span>
#include <string>

#include "base/result.hpp"
#include "bus/batch_sink.hpp"

namespace perjoule::bus {

void arrow_schema(std::span<const SinkColumn> columns, std::string& out);
// Error: kBadInput for a batch with more than 2 GiB of text in one column.
base::Status arrow_batch(std::span<const SinkColumn> columns, const Batch& batch, std::string& out);
void arrow_end(std::string& out);

}  // namespace perjoule::bus
