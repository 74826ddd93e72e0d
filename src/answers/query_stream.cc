#include "answers/query_stream.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "answers/duckdb_session.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using bus::ColumnType;
using duckdb::Handle;
using duckdb::Library;
using duckdb::QueryResult;

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

std::string digits_of(UInt128 value, bool negative) {
  std::string out;
  do {
    out.insert(out.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  return negative ? "-" + out : out;
}

UInt128 magnitude(Int128 value) {
  return value < 0 ? UInt128{0} - static_cast<UInt128>(value) : static_cast<UInt128>(value);
}

// 1234 with two digits behind the point is "12.34".
std::string decimal_text(Int128 value, std::size_t scale) {
  std::string digits = digits_of(magnitude(value), false);
  if (scale != 0) {
    if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
    digits.insert(digits.size() - scale, ".");
  }
  return value < 0 ? "-" + digits : digits;
}

struct CalendarDay {
  std::int64_t year = 0;
  int month = 0, day = 0;
};

// Of days since 1970-01-01, in the calendar as it goes on in both directions.
CalendarDay calendar_day(std::int64_t days) {
  const std::int64_t z = days + 719'468, era = (z >= 0 ? z : z - 146'096) / 146'097;
  const std::int64_t of_era = z - era * 146'097;
  const std::int64_t year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const std::int64_t m = (5 * of_year + 2) / 153;
  const auto month = static_cast<int>(m < 10 ? m + 3 : m - 9);
  return {year + era * 400 + (month <= 2 ? 1 : 0), month, static_cast<int>(of_year - (153 * m + 2) / 5 + 1)};
}

std::string date_text(std::int64_t days) {
  const CalendarDay d = calendar_day(days);
  return fmt::format("{:04}-{:02}-{:02}", d.year, d.month, d.day);
}

std::string timestamp_text(std::int64_t microseconds) {
  constexpr std::int64_t kDay = 86'400'000'000;
  std::int64_t days = microseconds / kDay, rest = microseconds % kDay;
  if (rest < 0) rest += kDay, --days;
  std::string out = fmt::format("{} {:02}:{:02}:{:02}", date_text(days), rest / 3'600'000'000,
                                rest / 60'000'000 % 60, rest / 1'000'000 % 60);
  return rest % 1'000'000 == 0 ? out : out + fmt::format(".{:06}", rest % 1'000'000);
}

// One column of DuckDB's answer, and what becomes of it.
struct Source {
  int type = 0, storage = 0;  // storage: of a DECIMAL
  std::size_t scale = 0;
  bus::SinkColumn column;
};

bool is_wide(int type) {
  return type == duckdb::kHugeInt || type == duckdb::kUHugeInt || type == duckdb::kUBigInt;
}

class Stream final : public QueryStream {
 public:
  Stream(Library library, std::uint64_t max_rows, bool exact)
      : library_(std::move(library)), session_(library_), max_rows_(max_rows), exact_(exact) {}
  ~Stream() override {
    if (open_) library_.destroy_result(&result_);
  }

  base::Status start(const bus::StoreReader& store, const std::string& sql, bus::StreamFormat format,
                     const QueryOptions& options) {
    PJ_TRY(session_.open(store, options));
    PJ_TRY(session_.check(sql));
    open_ = true;
    PJ_TRY(session_.execute(sql, true, result_));
    PJ_TRY(read_columns());
    std::vector<bus::SinkColumn> columns;
    for (const Source& s : sources_) columns.push_back(s.column);
    sink_ = bus::make_sink(format, std::move(columns), "query", [this](std::string_view bytes) {
      bytes_ += bytes;
      return base::ok_status();
    });
    // What fails in the first piece fails before anything was said.
    PJ_TRY(step());
    return base::ok_status();
  }

  base::Result<bool> next(std::string& bytes) override {
    constexpr std::size_t kPiece = 64U << 10;
    while (!ended_ && bytes_.size() < kPiece) PJ_TRY(step());
    bytes += bytes_;
    const bool any = !bytes_.empty();
    bytes_.clear();
    return any;
  }
  std::uint64_t rows() const override { return rows_; }

 private:
  base::Status read_columns() {
    const std::uint64_t n = library_.column_count(&result_);
    for (std::uint64_t c = 0; c < n; ++c) {
      Source s;
      s.type = library_.column_type(&result_, c);
      s.column.name = unique_name(library_.column_name(&result_, c));
      if (s.type == duckdb::kDecimal) {
        Handle type = library_.logical_type(&result_, c);
        s.scale = library_.decimal_scale(type);
        s.storage = library_.decimal_storage(type);
        library_.destroy_logical_type(&type);
      }
      PJ_TRY(choose_type(s));
      sources_.push_back(std::move(s));
    }
    return base::ok_status();
  }

  std::string unique_name(const std::string& name) const {
    std::string out = name;
    const auto taken = [&] {
      return std::any_of(sources_.begin(), sources_.end(),
                         [&](const Source& s) { return s.column.name == out; });
    };
    for (int i = 1; taken(); ++i) out = name + "_" + std::to_string(i);
    return out;
  }

  base::Status choose_type(Source& s) const {
    const int t = s.type;
    if (t == duckdb::kBoolean) {
      s.column.type = ColumnType::kBool;
    } else if (t >= duckdb::kTinyInt && t <= duckdb::kUInteger) {
      s.column.type = ColumnType::kInt64;
    } else if (t == duckdb::kFloat || t == duckdb::kDouble) {
      s.column.type = ColumnType::kDouble;
    } else if (is_wide(t)) {
      s.column.type = exact_ ? ColumnType::kText : ColumnType::kInt64;
      s.column.number = exact_;
    } else if (t == duckdb::kDecimal) {
      s.column.type = exact_ ? ColumnType::kText : ColumnType::kDouble;
      s.column.number = exact_;
    } else if (t != duckdb::kVarchar && t != duckdb::kTimestamp && t != duckdb::kDate) {
      return refused_query("column '" + s.column.name +
                               "' has a type that has no plain form (a list, an interval or the like)",
                           "Turn it into text: SELECT CAST(... AS VARCHAR)");
    }
    return base::ok_status();
  }

  base::Status step() {
    Handle chunk = library_.fetch_chunk(result_);
    if (chunk == nullptr) {
      const char* why = library_.result_error(&result_);
      if ((why != nullptr && *why != '\0') || session_.is_broken_off()) return session_.broken_off(result_);
      ended_ = true;
      return sink_->end();
    }
    bus::Batch batch;
    base::Status status = convert(chunk, batch);
    if (status.ok() && batch.rows != 0) status = sink_->write(batch);
    library_.destroy_chunk(&chunk);
    return status;
  }

  base::Status convert(Handle chunk, bus::Batch& batch) {
    batch.rows = static_cast<std::size_t>(library_.chunk_rows(chunk));
    rows_ += batch.rows;
    if (max_rows_ != 0 && rows_ > max_rows_)
      return refused_query(
          "the answer has more than " + base::group_digits(static_cast<std::int64_t>(max_rows_)) + " rows",
          "Add a LIMIT, or sum up");
    for (std::size_t c = 0; c < sources_.size(); ++c) {
      Handle vector = library_.chunk_vector(chunk, c);
      PJ_TRY(
          convert_column(sources_[c], library_.vector_data(vector), library_.vector_validity(vector), batch));
    }
    return base::ok_status();
  }

  base::Status convert_column(const Source& s, const void* data, const std::uint64_t* valid,
                              bus::Batch& batch) {
    bus::Column& c = batch.columns.emplace_back();
    c.type = s.column.type;
    texts_.clear();
    for (std::size_t r = 0; r < batch.rows; ++r) {
      const bool null = valid != nullptr && (valid[r / 64] >> (r % 64) & 1) == 0;
      if (null) {
        add_null(c, r);
        continue;
      }
      if (!c.valid.empty()) c.valid.push_back(1);
      if (c.type == ColumnType::kBool) c.bools.push_back(static_cast<const std::uint8_t*>(data)[r]);
      if (c.type == ColumnType::kInt64) PJ_TRY(add_whole(s, data, r, c));
      if (c.type == ColumnType::kDouble) c.doubles.push_back(real(s, data, r));
      if (c.type == ColumnType::kText) add_text(s, data, r, c);
    }
    if (c.type == ColumnType::kText) finish_texts(c);
    return base::ok_status();
  }

  static void add_null(bus::Column& c, std::size_t row) {
    const bool marked = c.type == ColumnType::kInt64 || c.type == ColumnType::kBool;
    if (marked && c.valid.empty()) c.valid.assign(row, 1);
    if (marked) c.valid.push_back(0);
    if (c.type == ColumnType::kInt64) c.ints.push_back(0);
    if (c.type == ColumnType::kBool) c.bools.push_back(0);
    if (c.type == ColumnType::kDouble) c.doubles.push_back(std::numeric_limits<double>::quiet_NaN());
    if (c.type == ColumnType::kText) c.codes.push_back(bus::kNullCode);
  }

  template <class T>
  static T at(const void* data, std::size_t row) {
    T value;
    std::memcpy(&value, static_cast<const char*>(data) + row * sizeof(T), sizeof value);
    return value;
  }

  // Any whole number, also the digits of a DECIMAL.
  static Int128 whole(int type, const void* data, std::size_t row) {
    switch (type) {
      case duckdb::kTinyInt:
        return at<std::int8_t>(data, row);
      case duckdb::kSmallInt:
        return at<std::int16_t>(data, row);
      case duckdb::kInteger:
      case duckdb::kDate:
        return at<std::int32_t>(data, row);
      case duckdb::kUTinyInt:
        return at<std::uint8_t>(data, row);
      case duckdb::kUSmallInt:
        return at<std::uint16_t>(data, row);
      case duckdb::kUInteger:
        return at<std::uint32_t>(data, row);
      case duckdb::kUBigInt:
        return at<std::uint64_t>(data, row);
      case duckdb::kHugeInt:
        return at<Int128>(data, row);
      default:
        return at<std::int64_t>(data, row);
    }
  }

  base::Status add_whole(const Source& s, const void* data, std::size_t row, bus::Column& c) {
    const bool above = s.type == duckdb::kUHugeInt && at<UInt128>(data, row) > UInt128{INT64_MAX};
    const Int128 value = s.type == duckdb::kUHugeInt && !above ? static_cast<Int128>(at<UInt128>(data, row))
                                                               : whole(s.type, data, row);
    if (above || value > INT64_MAX || value < INT64_MIN)
      return refused_query("a number of column '" + s.column.name + "' does not fit 64 bits",
                           "Turn it into text: SELECT CAST(... AS VARCHAR), or ask for csv or jsonl");
    c.ints.push_back(static_cast<std::int64_t>(value));
    return base::ok_status();
  }

  static double real(const Source& s, const void* data, std::size_t row) {
    if (s.type == duckdb::kFloat) return static_cast<double>(at<float>(data, row));
    if (s.type == duckdb::kDouble) return at<double>(data, row);
    return static_cast<double>(static_cast<long double>(whole(s.storage, data, row)) /
                               std::pow(10.0L, static_cast<long double>(s.scale)));
  }

  void add_text(const Source& s, const void* data, std::size_t row, bus::Column& c) {
    c.codes.push_back(static_cast<std::uint32_t>(texts_.size()));
    if (s.type == duckdb::kVarchar) return void(texts_.emplace_back(text_of(data, row)));
    if (s.type == duckdb::kDecimal)
      return void(texts_.push_back(decimal_text(whole(s.storage, data, row), s.scale)));
    if (s.type == duckdb::kDate)
      return void(texts_.push_back(date_text(static_cast<std::int64_t>(whole(s.type, data, row)))));
    if (s.type == duckdb::kTimestamp)
      return void(texts_.push_back(timestamp_text(at<std::int64_t>(data, row))));
    if (s.type == duckdb::kUHugeInt) return void(texts_.push_back(digits_of(at<UInt128>(data, row), false)));
    const Int128 value = whole(s.type, data, row);
    texts_.push_back(digits_of(magnitude(value), value < 0));
  }

  // duckdb_string_t: up to 12 bytes stand in it, longer ones behind a pointer.
  static std::string_view text_of(const void* data, std::size_t row) {
    constexpr std::size_t kBytes = 16, kInside = 12;
    const char* p = static_cast<const char*>(data) + row * kBytes;
    std::uint32_t length = 0;
    std::memcpy(&length, p, sizeof length);
    if (length <= kInside) return {p + 4, length};
    const char* far = nullptr;
    std::memcpy(&far, p + 8, sizeof far);
    return {far, length};
  }

  // All texts in one place that the column owns.
  void finish_texts(bus::Column& c) {
    std::string all;
    for (const auto& text : texts_) all += text;
    const auto arena = std::make_shared<const std::string>(std::move(all));
    std::size_t at = 0;
    for (const auto& text : texts_) {
      c.dictionary.push_back(std::string_view(*arena).substr(at, text.size()));
      at += text.size();
    }
    c.arena = arena;
  }

  const Library library_;
  DuckSession session_;
  const std::uint64_t max_rows_;
  const bool exact_;
  QueryResult result_;
  bool open_ = false, ended_ = false;
  std::vector<Source> sources_;
  std::vector<std::string> texts_;
  std::unique_ptr<bus::BatchSink> sink_;
  std::string bytes_;
  std::uint64_t rows_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<QueryStream>> QueryStream::open(const bus::StoreReader& store,
                                                             const std::string& sql, bus::StreamFormat format,
                                                             const QueryOptions& options) {
  PJ_TRY(store.log_status());
  PJ_TRY(store.check_hashes());
  PJ_ASSIGN(Library library, duckdb::load_library(duckdb_candidates(options)));
  const bool exact = format == bus::StreamFormat::kCsv || format == bus::StreamFormat::kJsonLines;
  auto stream = std::make_unique<Stream>(std::move(library), options.max_rows, exact);
  PJ_TRY(stream->start(store, sql, format, options));
  return std::unique_ptr<QueryStream>(std::move(stream));
}

}  // namespace perjoule::answers
