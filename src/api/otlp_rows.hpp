// OpenTelemetry metrics as rows of `samples`, at the speed of a server. A point's device and signal depend on
// nothing but the bytes of its resource, its metric's name and its attributes; what they give is remembered
// under those bytes, so a point that came before (with another time and value) costs a look-up and no
// allocation. What is remembered is bounded, and begins anew when it is full.
//   OtlpReader::read   protobuf -> columns
//   OtlpReader::take   points of the JSON form -> columns
// Thread rule: one thread at a time. Ownership: the batches point at the reader's texts: they live until its
// next call. Units: Unix nanoseconds.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/otlp.hpp"
#include "bus/columns.hpp"

namespace perjoule::api {

struct OtlpRows {
  // Of bus::Table::kSamples, 1..bus::kMaxBlockRows rows each; seq counts from 1 in each.
  std::vector<bus::Batch> batches;
  Drops drops;
};

class OtlpReader {
 public:
  // `source`: of every row.
  explicit OtlpReader(std::string source);
  OtlpReader(const OtlpReader&) = delete;
  OtlpReader& operator=(const OtlpReader&) = delete;
  ~OtlpReader();

  // Errors: kBadInput for damaged bytes and for more than kMostOtlpPoints points.
  base::Result<OtlpRows> read(std::string_view bytes);
  OtlpRows take(OtlpBatch batch);

 private:
  class Memory;
  class Rows;
  class Walk;
  void make_room();

  const std::string source_;
  std::unique_ptr<Memory> memory_;
};

}  // namespace perjoule::api
