#include "bus/batch_sink.hpp"

#include <fmt/format.h>

#include <deque>
#include <unordered_map>

#include "base/env.hpp"
#include "bus/arrow_stream.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kPiece = 256U << 10;    // bytes handed on at once
constexpr std::size_t kGroupRows = 1U << 18;  // of a Parquet file

void put_double(double value, std::string& out) {
  const std::size_t at = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_not_of("-0123456789", at) == std::string::npos) out += ".0";
}

void put_csv_text(std::string_view text, std::string& out) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return void(out += text);
  out += '"';
  for (const char c : text) {
    out += c;
    if (c == '"') out += c;
  }
  out += '"';
}

void put_json_text(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// Rows one after the other, in pieces.
class LineSink : public BatchSink {
 public:
  LineSink(std::vector<SinkColumn> columns, PutBytes put)
      : columns_(std::move(columns)), put_(std::move(put)) {}

  base::Status write(const Batch& batch) override {
    for (std::size_t row = 0; row < batch.rows; ++row) {
      line(batch, row);
      if (text_.size() >= kPiece) PJ_TRY(flush());
    }
    return flush();
  }
  base::Status end() override { return flush(); }

 protected:
  virtual void line(const Batch& batch, std::size_t row) = 0;
  base::Status flush() {
    if (text_.empty()) return base::ok_status();
    const base::Status status = put_(text_);
    text_.clear();
    return status;
  }
  const std::vector<SinkColumn> columns_;
  const PutBytes put_;
  std::string text_;
};

class CsvSink final : public LineSink {
 public:
  CsvSink(std::vector<SinkColumn> columns, PutBytes put) : LineSink(std::move(columns), std::move(put)) {
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (c != 0) text_ += ',';
      put_csv_text(columns_[c].name, text_);
    }
    text_ += '\n';
  }

 private:
  void line(const Batch& batch, std::size_t row) override {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i != 0) text_ += ',';
      const Column& c = batch.columns[i];
      if (c.is_null(row)) continue;
      if (c.type == ColumnType::kInt64) fmt::format_to(std::back_inserter(text_), "{}", c.ints[row]);
      if (c.type == ColumnType::kDouble) put_double(c.doubles[row], text_);
      if (c.type == ColumnType::kBool) text_ += c.bools[row] != 0 ? "true" : "false";
      if (c.type == ColumnType::kText) put_csv_text(c.text(row), text_);
    }
    text_ += '\n';
  }
};

class JsonSink final : public LineSink {
 public:
  JsonSink(std::vector<SinkColumn> columns, PutBytes put) : LineSink(std::move(columns), std::move(put)) {
    for (const auto& c : columns_) {
      std::string name;
      put_json_text(c.name, name);
      names_.push_back(name + ":");
    }
  }

 private:
  void line(const Batch& batch, std::size_t row) override {
    text_ += '{';
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i != 0) text_ += ',';
      text_ += names_[i];
      value(batch.columns[i], columns_[i].number, row);
    }
    text_ += "}\n";
  }
  void value(const Column& c, bool number, std::size_t row) {
    // JSON has no infinite numbers.
    const bool infinite = c.type == ColumnType::kDouble && std::isinf(c.doubles[row]);
    if (c.is_null(row) || infinite) return void(text_ += "null");
    if (c.type == ColumnType::kInt64) fmt::format_to(std::back_inserter(text_), "{}", c.ints[row]);
    if (c.type == ColumnType::kDouble) put_double(c.doubles[row], text_);
    if (c.type == ColumnType::kBool) text_ += c.bools[row] != 0 ? "true" : "false";
    if (c.type != ColumnType::kText) return;
    if (number) return void(text_ += c.text(row));
    put_json_text(c.text(row), text_);
  }
  std::vector<std::string> names_;
};

class ArrowSink final : public BatchSink {
 public:
  ArrowSink(std::vector<SinkColumn> columns, PutBytes put)
      : columns_(std::move(columns)), put_(std::move(put)) {
    arrow_schema(columns_, bytes_);
  }
  base::Status write(const Batch& batch) override {
    join_.add(batch);
    return join_.rows() < kRows ? base::ok_status() : put_rows();
  }
  base::Status end() override {
    PJ_TRY(put_rows());
    arrow_end(bytes_);
    return put_(bytes_);
  }

 private:
  static constexpr std::size_t kRows = 1U << 16;
  base::Status put_rows() {
    if (join_.rows() == 0) return base::ok_status();
    PJ_TRY(arrow_batch(columns_, join_.batch(), bytes_));
    join_.clear();
    PJ_TRY(put_(bytes_));
    bytes_.clear();
    return base::ok_status();
  }
  const std::vector<SinkColumn> columns_;
  const PutBytes put_;
  BatchJoin join_;
  std::string bytes_;
};

// A file that is a function: what is appended goes on at once.
class PutFile final : public base::PendingFile {
 public:
  explicit PutFile(const PutBytes& put) : put_(put) {}
  base::Status append(std::string_view bytes) override { return put_(bytes); }
  base::Status commit() override { return base::ok_status(); }

 private:
  const PutBytes& put_;
};

class PutEnv final : public base::Env {
 public:
  explicit PutEnv(PutBytes put) : put_(std::move(put)) {}
  base::Result<std::unique_ptr<base::PendingFile>> create(const std::string&) override {
    return std::unique_ptr<base::PendingFile>(std::make_unique<PutFile>(put_));
  }
  base::Result<std::string> read_file(const std::string& path, std::uint64_t) override { return none(path); }
  base::Status create_directories(const std::string& path) override { return none(path); }
  base::Result<std::vector<std::string>> list(const std::string& path) override { return none(path); }
  base::Status remove(const std::string& path) override { return none(path); }
  bool exists(const std::string&) override { return false; }

 private:
  static base::Error none(const std::string& path) {
    return base::io_error("write a stream", path, "it has no files");
  }
  const PutBytes put_;
};

class ParquetSink final : public BatchSink {
 public:
  ParquetSink(std::vector<SinkColumn> columns, std::string table, PutBytes put)
      : columns_(std::move(columns)), table_(std::move(table)), env_(std::move(put)) {
    for (const auto& c : columns_) specs_.push_back({c.name, c.type, c.nullable});
    schema_ = {table_, specs_, kNoTimeColumn};
  }
  base::Status write(const Batch& batch) override {
    join_.add(batch);
    return join_.rows() < kGroupRows ? base::ok_status() : put_rows();
  }
  base::Status end() override {
    PJ_TRY(put_rows());
    PJ_TRY(begin());
    const auto summary = writer_->seal();
    return summary.ok() ? base::ok_status() : base::Status(summary.error());
  }

 private:
  base::Status begin() {
    if (writer_.has_value()) return base::ok_status();
    PJ_ASSIGN(writer_, ParquetWriter::create(env_, table_, schema_));
    return base::ok_status();
  }
  base::Status put_rows() {
    if (join_.rows() == 0) return base::ok_status();
    PJ_TRY(begin());
    PJ_ASSIGN(auto group, encode_row_group(schema_, join_.batch()));
    join_.clear();
    return writer_->append(std::move(group));
  }
  const std::vector<SinkColumn> columns_;
  const std::string table_;
  std::vector<ColumnSpec> specs_;
  TableSchema schema_;
  PutEnv env_;
  std::optional<ParquetWriter> writer_;
  BatchJoin join_;
};

}  // namespace

std::vector<SinkColumn> sink_columns(const TableSchema& schema) {
  std::vector<SinkColumn> out;
  for (const auto& c : schema.columns) out.push_back({std::string(c.name), c.type, c.nullable});
  return out;
}

std::optional<StreamFormat> find_stream_format(std::string_view name) {
  if (name == "csv") return StreamFormat::kCsv;
  if (name == "jsonl") return StreamFormat::kJsonLines;
  if (name == "arrow") return StreamFormat::kArrow;
  if (name == "parquet") return StreamFormat::kParquet;
  return std::nullopt;
}

std::string_view media_type_of(StreamFormat format) {
  switch (format) {
    case StreamFormat::kCsv:
      return "text/csv; charset=utf-8";
    case StreamFormat::kJsonLines:
      return "application/x-ndjson";
    case StreamFormat::kArrow:
      return "application/vnd.apache.arrow.stream";
    case StreamFormat::kParquet:
      return "application/vnd.apache.parquet";
  }
  return "application/octet-stream";
}

std::unique_ptr<BatchSink> make_sink(StreamFormat format, std::vector<SinkColumn> columns, std::string table,
                                     PutBytes put) {
  switch (format) {
    case StreamFormat::kCsv:
      return std::make_unique<CsvSink>(std::move(columns), std::move(put));
    case StreamFormat::kJsonLines:
      return std::make_unique<JsonSink>(std::move(columns), std::move(put));
    case StreamFormat::kArrow:
      return std::make_unique<ArrowSink>(std::move(columns), std::move(put));
    case StreamFormat::kParquet:
      return std::make_unique<ParquetSink>(std::move(columns), std::move(table), std::move(put));
  }
  return nullptr;
}

// ---- BatchJoin ----

struct BatchJoin::Impl {
  struct Texts {
    std::deque<std::string> kept;
    std::unordered_map<std::string_view, std::uint32_t> code_of;
  };

  std::uint32_t code(Texts& of, Column& into, std::string_view text) {
    const auto found = of.code_of.find(text);
    if (found != of.code_of.end()) return found->second;
    of.kept.emplace_back(text);
    const auto number = static_cast<std::uint32_t>(into.dictionary.size());
    into.dictionary.push_back(of.kept.back());
    of.code_of.emplace(of.kept.back(), number);
    return number;
  }

  void add_texts(const Column& from, std::size_t rows, Column& into, Texts& of) {
    std::vector<std::uint32_t> codes(from.dictionary.size(), kNullCode);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::uint32_t code_from = from.codes[r];
      if (code_from == kNullCode) {
        into.codes.push_back(kNullCode);
        continue;
      }
      if (codes[code_from] == kNullCode) codes[code_from] = code(of, into, from.dictionary[code_from]);
      into.codes.push_back(codes[code_from]);
    }
  }

  void add_column(const Column& from, std::size_t rows, Column& into, Texts& of) {
    into.type = from.type;
    if (!from.valid.empty() || !into.valid.empty()) {
      into.valid.resize(joined.rows, 1);  // no NULL before
      if (from.valid.empty()) into.valid.resize(joined.rows + rows, 1);
      into.valid.insert(into.valid.end(), from.valid.begin(), from.valid.end());
    }
    into.ints.insert(into.ints.end(), from.ints.begin(), from.ints.end());
    into.doubles.insert(into.doubles.end(), from.doubles.begin(), from.doubles.end());
    into.bools.insert(into.bools.end(), from.bools.begin(), from.bools.end());
    if (from.type == ColumnType::kText) add_texts(from, rows, into, of);
  }

  Batch joined;
  std::vector<Texts> texts;
};

BatchJoin::BatchJoin() : impl_(std::make_unique<Impl>()) {}
BatchJoin::~BatchJoin() = default;

void BatchJoin::add(const Batch& batch) {
  Impl& i = *impl_;
  i.joined.columns.resize(batch.columns.size());
  i.texts.resize(batch.columns.size());
  for (std::size_t c = 0; c < batch.columns.size(); ++c)
    i.add_column(batch.columns[c], batch.rows, i.joined.columns[c], i.texts[c]);
  i.joined.rows += batch.rows;
}

std::size_t BatchJoin::rows() const { return impl_->joined.rows; }
const Batch& BatchJoin::batch() const { return impl_->joined; }
void BatchJoin::clear() { impl_ = std::make_unique<Impl>(); }

}  // namespace perjoule::bus
