#include "bus/arrow_stream.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace perjoule::bus {
namespace {

// FlatBuffers as far as Arrow's messages need them, written front to back: a table first, what it points at
// behind it, offsets filled in when that is written. The buffer begins at a multiple of 8.
class FlatBuffer {
 public:
  struct Field {
    std::size_t id = 0, bytes = 4;
    std::uint64_t value = 0;
    std::size_t* place = nullptr;  // an offset: where it stands, for point()
  };

  FlatBuffer() { put(std::uint32_t{0}); }

  void table(std::size_t offset_place, std::vector<Field> fields) {
    std::stable_sort(fields.begin(), fields.end(),
                     [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
    std::size_t ids = 0, size = 4;
    for (const Field& f : fields) ids = std::max(ids, f.id + 1), size += f.bytes;
    std::vector<std::uint16_t> vtable(2 + ids, 0);
    vtable[0] = static_cast<std::uint16_t>(2 * vtable.size());
    vtable[1] = static_cast<std::uint16_t>(size);
    std::size_t at = 4;
    for (const Field& f : fields) {
      vtable[2 + f.id] = static_cast<std::uint16_t>(at);
      at += f.bytes;
    }
    align(2, 0);
    const std::size_t vtable_at = bytes_.size();
    for (const std::uint16_t v : vtable) put(v);
    align(8, 4);  // so that fields of 8 bytes, which come first, lie at a multiple of 8
    point(offset_place);
    put(static_cast<std::int32_t>(bytes_.size() - vtable_at));
    for (const Field& f : fields) {
      if (f.place != nullptr) *f.place = bytes_.size();
      bytes_.append(reinterpret_cast<const char*>(&f.value), f.bytes);
    }
  }
  void text(std::size_t offset_place, std::string_view text) {
    align(4, 0);
    point(offset_place);
    put(static_cast<std::uint32_t>(text.size()));
    bytes_.append(text).push_back('\0');
  }
  // A vector of offsets; the place of each.
  std::vector<std::size_t> offsets(std::size_t offset_place, std::size_t n) {
    align(4, 0);
    point(offset_place);
    put(static_cast<std::uint32_t>(n));
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < n; ++i) places.push_back(bytes_.size()), put(std::uint32_t{0});
    return places;
  }
  // A vector of structures of two int64.
  void pairs(std::size_t offset_place, const std::vector<std::pair<std::int64_t, std::int64_t>>& all) {
    align(8, 4);
    point(offset_place);
    put(static_cast<std::uint32_t>(all.size()));
    for (const auto& [a, b] : all) put(a), put(b);
  }
  std::string take() {
    bytes_.resize((bytes_.size() + 7) / 8 * 8);
    return std::move(bytes_);
  }

 private:
  template <class T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void align(std::size_t to, std::size_t rest) {
    while (bytes_.size() % to != rest) bytes_.push_back('\0');
  }
  // The offset at this place leads to what is written next.
  void point(std::size_t place) {
    const auto distance = static_cast<std::uint32_t>(bytes_.size() - place);
    std::memcpy(bytes_.data() + place, &distance, sizeof distance);
  }
  std::string bytes_;
};

constexpr std::uint64_t kVersion5 = 4;
constexpr std::uint64_t kSchemaHeader = 1, kRecordBatchHeader = 3;
constexpr std::uint64_t kIntType = 2, kFloatType = 3, kTextType = 5, kBoolType = 6;
constexpr std::uint64_t kDoublePrecision = 2;

void frame(FlatBuffer& message, std::string_view body, std::string& out) {
  const std::string bytes = message.take();
  const std::uint32_t mark = 0xFFFFFFFF, size = static_cast<std::uint32_t>(bytes.size());
  out.append(reinterpret_cast<const char*>(&mark), 4).append(reinterpret_cast<const char*>(&size), 4);
  out.append(bytes).append(body);
}

std::size_t begin_message(FlatBuffer& message, std::uint64_t kind, std::uint64_t body_bytes) {
  std::size_t header = 0;
  message.table(0, {{0, 2, kVersion5}, {1, 1, kind}, {2, 4, 0, &header}, {3, 8, body_bytes}});
  return header;
}

std::uint64_t type_number(ColumnType type) {
  switch (type) {
    case ColumnType::kInt64:
      return kIntType;
    case ColumnType::kDouble:
      return kFloatType;
    case ColumnType::kBool:
      return kBoolType;
    case ColumnType::kText:
      return kTextType;
  }
  return kTextType;
}

void put_type(FlatBuffer& message, std::size_t place, ColumnType type) {
  if (type == ColumnType::kInt64) return message.table(place, {{0, 4, 64}, {1, 1, 1}});
  if (type == ColumnType::kDouble) return message.table(place, {{0, 2, kDoublePrecision}});
  message.table(place, {});
}

// The buffers of a record batch, one after the other.
class Body {
 public:
  void column(const Column& c, std::size_t rows) {
    std::int64_t nulls = 0;
    for (std::size_t r = 0; r < rows; ++r) nulls += c.is_null(r) ? 1 : 0;
    nodes.emplace_back(static_cast<std::int64_t>(rows), nulls);
    bits(nulls == 0 ? 0 : rows, [&](std::size_t r) { return !c.is_null(r); });
    if (c.type == ColumnType::kInt64) return buffer(c.ints.data(), rows * sizeof(std::int64_t));
    if (c.type == ColumnType::kDouble) return buffer(c.doubles.data(), rows * sizeof(double));
    if (c.type == ColumnType::kBool) return bits(rows, [&](std::size_t r) { return c.bools[r] != 0; });
    text(c, rows);
  }
  std::string bytes;
  std::vector<std::pair<std::int64_t, std::int64_t>> nodes, buffers;
  bool too_much_text = false;

 private:
  void buffer(const void* data, std::size_t n) {
    buffers.emplace_back(static_cast<std::int64_t>(bytes.size()), static_cast<std::int64_t>(n));
    bytes.append(static_cast<const char*>(data), n);
    bytes.resize((bytes.size() + 7) / 8 * 8);
  }
  template <class F>
  void bits(std::size_t rows, F&& is_set) {
    std::string packed((rows + 7) / 8, '\0');
    for (std::size_t r = 0; r < rows; ++r) {
      if (is_set(r)) packed[r / 8] = static_cast<char>(packed[r / 8] | (1 << (r % 8)));
    }
    buffer(packed.data(), packed.size());
  }
  void text(const Column& c, std::size_t rows) {
    std::vector<std::int32_t> ends{0};
    ends.reserve(rows + 1);
    std::string all;
    for (std::size_t r = 0; r < rows; ++r) {
      all += c.text(r);
      if (all.size() > INT32_MAX) return void(too_much_text = true);
      ends.push_back(static_cast<std::int32_t>(all.size()));
    }
    buffer(ends.data(), ends.size() * sizeof ends[0]);
    buffer(all.data(), all.size());
  }
};

}  // namespace

void arrow_schema(std::span<const SinkColumn> columns, std::string& out) {
  FlatBuffer message;
  const std::size_t header = begin_message(message, kSchemaHeader, 0);
  std::size_t fields = 0;
  message.table(header, {{1, 4, 0, &fields}});
  const auto places = message.offsets(fields, columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::size_t name = 0, type = 0, children = 0;
    message.table(places[i], {{0, 4, 0, &name},
                              {1, 1, columns[i].nullable ? 1U : 0U},
                              {2, 1, type_number(columns[i].type)},
                              {3, 4, 0, &type},
                              {5, 4, 0, &children}});
    message.text(name, columns[i].name);
    put_type(message, type, columns[i].type);
    (void)message.offsets(children, 0);
  }
  frame(message, {}, out);
}

base::Status arrow_batch(std::span<const SinkColumn> columns, const Batch& batch, std::string& out) {
  Body body;
  for (const Column& c : batch.columns) body.column(c, batch.rows);
  if (body.too_much_text || batch.columns.size() != columns.size())
    return base::bad_input("write an Arrow stream", "", "a column has more than 2 GiB of text in one piece",
                           "Ask for fewer rows at a time");
  FlatBuffer message;
  const std::size_t header = begin_message(message, kRecordBatchHeader, body.bytes.size());
  std::size_t nodes = 0, buffers = 0;
  message.table(header, {{0, 8, batch.rows}, {1, 4, 0, &nodes}, {2, 4, 0, &buffers}});
  message.pairs(nodes, body.nodes);
  message.pairs(buffers, body.buffers);
  frame(message, body.bytes, out);
  return base::ok_status();
}

void arrow_end(std::string& out) { out.append("\xFF\xFF\xFF\xFF\0\0\0\0", 8); }

}  // namespace perjoule::bus
