// The answers by brute force: every event is looked at, sums are whole numbers, nothing is indexed or pruned.
// A scan takes rows one by one, in any order, and may ask for a second pass over the same rows.
// Thread rule: one thread per scan. Ownership: a scan owns what it gathers; rows need to live for one call
// only.
#pragma once

#include <memory>
#include <span>

#include "bench/bus/query.hpp"

namespace perjoule::bench {

struct AttributionRow {
  std::int64_t t1_ns = 0, energy_uj = 0;
  std::uint16_t device = 0, tenant = 0, model = 0, epoch = 0, kernel = 0;
  std::uint8_t phase = 0;
  std::string_view request;
};
struct SampleRow {
  std::int64_t t_ns = 0;
  std::uint16_t device = 0;
  std::uint8_t signal = 0;
  double value = 0;
};

class QueryScan {
 public:
  virtual ~QueryScan() = default;
  virtual void add(const AttributionRow&) {}
  virtual void add(const SampleRow&) {}
  // After a pass: whether every row must be added once more.
  virtual bool again() { return false; }
  virtual Answer answer() = 0;
  // Which rows it looks at.
  virtual bool wants_attributions() const { return true; }
  virtual bool wants_samples() const { return true; }
};
std::unique_ptr<QueryScan> make_scan(QueryId id, const QueryParams& params);

// Row `row` of a batch.
AttributionRow attribution_row(const EventBatch& batch, std::size_t row);
SampleRow sample_row(const EventBatch& batch, std::size_t row);

// Answers of `ids`, in their order, over the whole stream of `options`, each batch counted once.
std::vector<Answer> reference_answers(const GeneratorOptions& options, std::span<const QueryId> ids,
                                      const QueryParams& params);

}  // namespace perjoule::bench
