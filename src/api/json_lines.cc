#include "api/json_lines.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "bus/block.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::api {
namespace {

using Json = nlohmann::json;
using bus::ColumnSpec;
using bus::ColumnType;

constexpr const char* kWhat = "read rows";

// Words of a column that takes only some; empty: any text.
std::vector<std::string> words_of(bus::Table table, std::string_view column) {
  if (column == "quality") return {energy::kQualityNames.begin(), energy::kQualityNames.end()};
  if (column == "share") return {energy::kShareNames.begin(), energy::kShareNames.end()};
  if (column == "kind" && table == bus::Table::kCarbon) return {"average", "marginal"};
  return {};
}

bool is_hash(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

class Reader {
 public:
  Reader(bus::Table table, std::string_view source, std::int64_t seq)
      : schema_(bus::schema_of(table)), source_(source), seq_(seq), codes_(schema_.columns.size()) {
    rows_.texts = std::make_unique<base::SymbolTable>();
    rows_.batch.columns.resize(schema_.columns.size());
    for (std::size_t i = 0; i < schema_.columns.size(); ++i) {
      rows_.batch.columns[i].type = schema_.columns[i].type;
      words_.push_back(words_of(table, schema_.columns[i].name));
      names_.emplace_back(schema_.columns[i].name);
    }
  }

  base::Status line(std::string_view text) {
    ++line_;
    text = base::trim(text);
    if (text.empty()) return base::ok_status();
    if (rows_.batch.rows == bus::kMaxBlockRows)
      return wrong("", "there are more than 65,536 rows", "Send them in several requests");
    Json object;
    PJ_TRY(parse(text, object));
    for (const auto& [key, value] : object.items()) {
      if (schema_.find(key) == names_.size()) return unknown(key.substr(0, 64));
    }
    for (std::size_t i = 0; i < names_.size(); ++i) PJ_TRY(cell(i, object));
    ++rows_.batch.rows;
    ++seq_;
    return base::ok_status();
  }

  base::Result<JsonRows> finish() {
    if (rows_.batch.rows == 0) return base::bad_input(kWhat, "body", "there is no row in it");
    return std::move(rows_);
  }

 private:
  base::Error wrong(std::string_view column, std::string why, std::string hint = {}) const {
    return base::bad_input(
        kWhat, "line " + std::to_string(line_) + (column.empty() ? "" : ", column " + std::string(column)),
        std::move(why), std::move(hint));
  }

  base::Error unknown(const std::string& key) const {
    return wrong(key, "the table has no such column", base::nearest_name_hint(key, names_));
  }

  base::Status parse(std::string_view text, Json& out) const {
    try {
      // A name that comes twice would hide one of the two values.
      std::vector<std::string> seen;
      bool twice = false, nested = false;
      out = Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
        nested = nested || depth > 1 || event == Json::parse_event_t::array_start;
        if (event == Json::parse_event_t::key) {
          auto name = parsed.get<std::string>();
          twice = twice || std::find(seen.begin(), seen.end(), name) != seen.end();
          if (seen.size() <= names_.size()) seen.push_back(std::move(name));
        }
        return true;
      });
      if (!out.is_object()) return wrong("", "it is no JSON object");
      if (twice) return wrong("", "a name comes twice in it");
      if (nested) return wrong("", "a value is a list or an object; columns are plain");
      return base::ok_status();
    } catch (const Json::parse_error& e) {
      return wrong("", "it is no JSON at byte " + std::to_string(e.byte));
    } catch (const Json::exception&) {
      return wrong("", "it is no JSON");
    }
  }

  base::Status cell(std::size_t i, const Json& object) {
    const ColumnSpec& spec = schema_.columns[i];
    const auto found = object.find(names_[i]);
    const bool absent = found == object.end();
    if (absent && spec.name == "source") return put_text(i, source_);
    if (absent && spec.name == "seq") return put_int(i, seq_);
    if (absent || found->is_null()) {
      if (!spec.nullable) return wrong(spec.name, absent ? "it is missing" : "it must not be null");
      return put_null(i);
    }
    switch (spec.type) {
      case ColumnType::kInt64:
        if (!found->is_number_integer() ||
            (found->is_number_unsigned() &&
             found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)))
          return wrong(spec.name, "it must be a whole number of 64 bits");
        return put_int(i, found->get<std::int64_t>());
      case ColumnType::kDouble:
        if (!found->is_number()) return wrong(spec.name, "it must be a number");
        rows_.batch.columns[i].doubles.push_back(found->get<double>());
        return base::ok_status();
      case ColumnType::kBool:
        if (!found->is_boolean()) return wrong(spec.name, "it must be true or false");
        rows_.batch.columns[i].bools.push_back(found->get<bool>() ? 1 : 0);
        if (!rows_.batch.columns[i].valid.empty()) rows_.batch.columns[i].valid.push_back(1);
        return base::ok_status();
      case ColumnType::kText:
        if (!found->is_string()) return wrong(spec.name, "it must be text");
        return put_text(i, found->get_ref<const std::string&>());
    }
    return base::ok_status();
  }

  base::Status put_int(std::size_t i, std::int64_t value) {
    bus::Column& c = rows_.batch.columns[i];
    c.ints.push_back(value);
    if (!c.valid.empty()) c.valid.push_back(1);
    return base::ok_status();
  }

  base::Status put_null(std::size_t i) {
    bus::Column& c = rows_.batch.columns[i];
    if (c.type == ColumnType::kText) return c.codes.push_back(bus::kNullCode), base::ok_status();
    if (c.type == ColumnType::kDouble) return c.doubles.push_back(energy_absent()), base::ok_status();
    if (c.valid.empty()) c.valid.assign(rows_.batch.rows, 1);
    c.valid.push_back(0);
    if (c.type == ColumnType::kInt64) c.ints.push_back(0);
    if (c.type == ColumnType::kBool) c.bools.push_back(0);
    return base::ok_status();
  }
  static double energy_absent() { return std::numeric_limits<double>::quiet_NaN(); }

  base::Status put_text(std::size_t i, std::string_view text) {
    const ColumnSpec& spec = schema_.columns[i];
    if (text.empty()) return wrong(spec.name, "it is empty; leave it out for NULL");
    if (text.size() > bus::kMaxTextBytes) return wrong(spec.name, "it is longer than 1,024 bytes");
    const auto& words = words_[i];
    if (!words.empty() && std::find(words.begin(), words.end(), text) == words.end())
      return wrong(spec.name, "'" + std::string(text) + "' is none of its words",
                   base::nearest_name_hint(text, words));
    if (spec.name == "reason_hash" && !is_hash(text))
      return wrong(spec.name, "it must be 16 lower-case hexadecimal digits");
    bus::Column& c = rows_.batch.columns[i];
    const base::Symbol symbol = rows_.texts->intern(text);
    const auto [known, is_new] =
        codes_[i].try_emplace(symbol.id, static_cast<std::uint32_t>(c.dictionary.size()));
    if (is_new) c.dictionary.push_back(rows_.texts->text(symbol));
    c.codes.push_back(known->second);
    return base::ok_status();
  }

  const bus::TableSchema& schema_;
  const std::string_view source_;
  std::int64_t seq_;
  std::size_t line_ = 0;
  JsonRows rows_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> words_;
  std::vector<std::map<std::uint32_t, std::uint32_t>> codes_;
};

}  // namespace

base::Result<JsonRows> read_json_lines(bus::Table table, std::string_view text, std::string_view source,
                                       std::int64_t first_seq) {
  Reader reader(table, source, first_seq);
  for (const std::string_view line : base::split(text, '\n')) PJ_TRY(reader.line(line));
  return reader.finish();
}

}  // namespace perjoule::api
