// The answer to a question in SQL, piece by piece, so that memory does not grow with it: CSV, JSON lines, an
// Arrow stream or a Parquet file. The same rules as query() (query.hpp): read-only, this store alone,
// bounded. In CSV and JSON lines a number too long for 64 bits, and a DECIMAL, keeps every digit; Arrow and
// Parquet have them as int64 (an error where one does not fit) and double. Dates and times are text. Thread
// rule: one thread at a time. Ownership: keeps what it reads.
#pragma once

#include <memory>
#include <string>

#include "answers/query.hpp"
#include "bus/batch_sink.hpp"

namespace perjoule::answers {

class QueryStream {
 public:
  // Errors: as query(), all of those that are known before the first row.
  static base::Result<std::unique_ptr<QueryStream>> open(const bus::StoreReader& store,
                                                         const std::string& sql, bus::StreamFormat format,
                                                         const QueryOptions& options = {});
  virtual ~QueryStream() = default;
  // Appends the next bytes; false: that was all, the answer is whole. Errors: kBadInput where the query fails
  // on its way, or has more rows or takes longer than it may; what came before is then no whole answer.
  virtual base::Result<bool> next(std::string& bytes) = 0;
  virtual std::uint64_t rows() const = 0;
};

}  // namespace perjoule::answers
