#include "bench/bus/query.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/rng.hpp"

namespace perjoule::bench {
namespace {

constexpr std::array<std::string_view, kQueries> kNames = {"Q1", "Q1-absent", "Q2", "Q3", "Q4",
                                                           "Q5", "Q6",        "Q7", "Q8"};

std::vector<Cell> shape(QueryId id) {
  using enum Cell;
  switch (id) {
    case QueryId::kRequest:
    case QueryId::kAbsentRequest:
      return {kNumber, kDevice, kKernel, kPhase, kNumber};
    case QueryId::kTenantModel:
      return {kTenant, kModel, kNumber, kNumber};
    case QueryId::kTopKernels:
      return {kKernel, kNumber};
    case QueryId::kDeviceSignals:
      return {kSignal, kNumber, kNumber, kNumber, kNumber};
    case QueryId::kHotRequests:
      return {kText, kNumber};
    case QueryId::kHeatMap:
      return {kNode, kPhase, kNumber, kNumber};
    case QueryId::kAudit:
      return {kDevice, kNumber, kNumber, kNumber};
    case QueryId::kLastValues:
      return {kDevice, kSignal, kNumber, kNumber};
  }
  return {};
}

const std::vector<std::string>& names_of(Cell cell) {
  static const std::vector<std::string> none;
  switch (cell) {
    case Cell::kDevice:
      return names().devices;
    case Cell::kNode:
      return names().nodes;
    case Cell::kTenant:
      return names().tenants;
    case Cell::kModel:
      return names().models;
    case Cell::kKernel:
      return names().kernels;
    case Cell::kPhase:
      return names().phases;
    case Cell::kSignal:
      return names().signals;
    case Cell::kNumber:
    case Cell::kText:
      return none;
  }
  return none;
}

void append_cell(const AnswerColumn& column, std::size_t row, std::string& out) {
  if (!column.texts.empty()) {
    out += column.texts[row];
    return;
  }
  const auto& known = names_of(column.cell);
  const std::int64_t number = column.numbers[row];
  // A place outside the table stays a number: it then differs from every name.
  if (number >= 0 && static_cast<std::size_t>(number) < known.size()) {
    out += known[static_cast<std::size_t>(number)];
  } else {
    out += std::to_string(number);
  }
}

std::string row_text(const Answer& answer, std::size_t row) {
  std::string out;
  for (const auto& column : answer.columns) {
    append_cell(column, row, out);
    out += '\t';
  }
  return out;
}

// The same for the same rows in any order; sorting a million rows of text would take longer than the
// question.
std::uint64_t digest(const Answer& answer) {
  std::uint64_t sum = 0;
  for (std::size_t row = 0; row < answer.rows(); ++row) {
    std::uint64_t hash = base::hash64(row_text(answer, row));
    sum += base::splitmix64(hash);
  }
  return sum;
}

}  // namespace

std::string_view query_name(QueryId id) { return kNames[static_cast<std::size_t>(id)]; }

std::vector<QueryId> all_queries() {
  std::vector<QueryId> out;
  for (int i = 0; i < kQueries; ++i) out.push_back(static_cast<QueryId>(i));
  return out;
}

QueryParams choose_params(const GeneratorOptions& options) {
  Generator generator(options);
  EventBatch batch;
  generator.fill(generator.batches() / 2, batch);
  QueryParams p;
  p.request = batch.request(0);
  p.absent_request = generator.absent_request();
  p.hour_from_ns = kStartNs + kSpanNs / 4;
  p.hour_to_ns = p.hour_from_ns + 3'600'000'000'000;
  p.model = batch.joules.model[0];
  p.epoch_from = 100;
  p.epoch_to = 200;
  p.device = batch.joules.device[0];
  p.hot_celsius = 80;
  return p;
}

std::size_t Answer::rows() const {
  if (columns.empty()) return 0;
  return std::max(columns[0].numbers.size(), columns[0].texts.size());
}

std::vector<std::string> Answer::sorted_rows() const {
  std::vector<std::string> out;
  for (std::size_t row = 0; row < rows(); ++row) out.push_back(row_text(*this, row));
  std::sort(out.begin(), out.end());
  return out;
}

Answer empty_answer(QueryId id) {
  Answer out;
  for (const Cell cell : shape(id)) out.columns.push_back({cell, {}, {}});
  return out;
}

std::int64_t bits_of(double value) { return std::bit_cast<std::int64_t>(value); }

std::int64_t microjoules_of(double joules) { return std::llround(joules * 1e6); }

std::string difference(const Answer& answer, const Answer& expected) {
  if (answer.columns.size() != expected.columns.size()) return "another number of columns";
  if (answer.rows() == expected.rows() && digest(answer) == digest(expected)) return {};
  const auto got = answer.sorted_rows(), wanted = expected.sorted_rows();
  const auto [g, w] = std::mismatch(got.begin(), got.end(), wanted.begin(), wanted.end());
  return std::to_string(got.size()) + " rows, expected " + std::to_string(wanted.size()) + "; got '" +
         (g == got.end() ? "nothing" : *g) + "', expected '" + (w == wanted.end() ? "nothing" : *w) + "'";
}

}  // namespace perjoule::bench
