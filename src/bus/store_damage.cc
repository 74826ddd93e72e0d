#include "bus/store_damage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/file_columns.hpp"
#include "bus/hash.hpp"
#include "bus/log_layout.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {
namespace {

// Adds up what is known of a file's parts.
class SegmentCheck {
 public:
  SegmentCheck(const SegmentEntry& entry) : entry_(entry) {}

  SegmentDamage of_whole(std::uint64_t byte, std::string why) {
    Finding f{true, entry_.file, entry_.table, byte, std::move(why)};
    f.rows_known = true;
    f.rows = entry_.summary.rows;
    f.time = entry_.summary.time;
    return {{std::move(f)}, true, {}};
  }

  void add_group(const ParquetFile& file, std::size_t group, const SegmentFault& fault) {
    Finding f{true, entry_.file, entry_.table, fault.byte,
              (fault.column.empty() ? "" : "column " + fault.column + ": ") + fault.why};
    f.rows_known = true;
    f.rows = static_cast<std::uint64_t>(file.meta().groups[group].rows);
    const TableSchema& schema = schema_of(*find_table(entry_.table));
    const auto bounds = file.int_bounds(group, places_of(schema, file.format_version())[schema.time_column]);
    if (bounds) f.time = {true, bounds->first, bounds->second};
    out_.findings.push_back(std::move(f));
    out_.groups.push_back(group);
  }

  SegmentDamage take() { return std::move(out_); }

 private:
  const SegmentEntry& entry_;
  SegmentDamage out_;
};

// What differs from the manifest although every page is sound: byte and reason; an empty reason for nothing.
std::pair<std::uint64_t, std::string> against_manifest(const SegmentEntry& entry, const ParquetFile& file,
                                                       std::string_view bytes, bool same_hash) {
  const std::uint64_t size = bytes.size();
  const auto& tail = entry.summary.tail;
  if (size != entry.summary.bytes)
    return {std::min(size, entry.summary.bytes), "its size differs from the manifest's"};
  if (tail.bytes != 0 &&
      (tail.bytes > size ||
       xxh3_128_of(bytes.substr(static_cast<std::size_t>(size - tail.bytes))) != tail.xxh3_128))
    return {size - std::min(size, tail.bytes),
            "its page index and footer differ from the manifest's hash of them"};
  if (!same_hash) return {0, "its hash differs from the manifest's: a byte outside the pages has changed"};
  if (file.table() != entry.table || !has_columns_of(file, schema_of(*find_table(entry.table))))
    return {0, "its columns are not the table's"};
  if (static_cast<std::uint64_t>(file.meta().rows) != entry.summary.rows)
    return {0, "its rows differ from the manifest's"};
  return {0, ""};
}

std::string numbers_text(std::string_view source, std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("{} {}", source, first) : fmt::format("{} {}..{}", source, first, last);
}

}  // namespace

SegmentDamage damage_of(base::Env& env, const std::string& directory, const SegmentEntry& entry) {
  SegmentCheck check(entry);
  auto opened = env.open_file(directory + "/" + entry.file);
  if (!opened.ok()) return check.of_whole(0, opened.error().why);
  const auto mapped = FileBytes::of(std::move(opened).value());
  if (!mapped.ok()) return check.of_whole(0, mapped.error().why);
  const FileBytes& bytes = *mapped;
  const bool same_hash = xxh3_128_of(bytes.bytes) == entry.summary.xxh3_128;
  SegmentFault fault;
  const auto file = ParquetFile::open(bytes, entry.file, {}, {}, &fault);
  if (!file.ok())
    return check.of_whole(fault.byte,
                          (fault.column.empty() ? "" : "column " + fault.column + ": ") + file.error().why);
  for (std::size_t g = 0; g < file->groups(); ++g) {
    if (const auto found = file->check(g)) check.add_group(*file, g, *found);
  }
  SegmentDamage out = check.take();
  auto [byte, why] = against_manifest(entry, *file, bytes.bytes, same_hash || !out.groups.empty());
  // Format 1 has no hash of the footer alone: with a page the rest is in doubt too.
  const bool footer_unknown = !out.groups.empty() && entry.summary.tail.bytes == 0;
  if (why.empty() && !footer_unknown) return out;
  if (out.groups.empty()) return check.of_whole(byte, std::move(why));
  SegmentDamage whole = check.of_whole(out.findings[0].byte, out.findings[0].why);
  if (!why.empty()) whole.findings[0].why += "; " + why;
  return whole;
}

FileSummary summary_of(const ParquetFile& file, std::string_view bytes) {
  FileSummary out;
  out.rows = static_cast<std::uint64_t>(file.meta().rows);
  out.bytes = bytes.size();
  out.xxh3_128 = xxh3_128_of(bytes);
  out.tail = file.tail_hash();
  const TableSchema& schema = schema_of(*find_table(file.table()));
  const std::size_t time = places_of(schema, file.format_version())[schema.time_column];
  for (std::size_t g = 0; g < file.groups(); ++g) {
    if (const auto bounds = file.int_bounds(g, time)) out.time.include({true, bounds->first, bounds->second});
  }
  return out;
}

base::Result<SalvagedTail> salvage_tail(base::Env& env, const std::string& directory, StoreState& state) {
  SalvagedTail out;
  std::uint64_t sealed_of_all = UINT64_MAX;
  for (const auto& [name, mark] : state.manifest.tables) {
    if (find_event_table(name)) sealed_of_all = std::min(sealed_of_all, mark.sealed_entry);
  }
  state.tail.clear();
  std::map<std::string, std::uint64_t, std::less<>> last_of;
  std::string gaps;
  const auto on_block = [&](const LogEntry& entry) -> base::Status {
    PJ_ASSIGN(const auto view, BlockView::open(entry.block, log_directory_of(directory)));
    const BlockKey& key = view.key();
    const auto before = last_of.find(key.source);
    if (before != last_of.end() && key.after_seq > before->second)
      gaps += (gaps.empty() ? "" : ", ") + numbers_text(key.source, before->second + 1, key.after_seq);
    if (before != last_of.end() && key.first_seq <= before->second) return base::ok_status();  // never twice
    last_of[std::string(key.source)] = key.last_seq;
    const auto mark = state.manifest.tables.find(std::string(schema_of(view.table()).name));
    if (mark != state.manifest.tables.end() && entry.number <= mark->second.sealed_entry)
      return base::ok_status();
    state.tail.push_back({entry.number, view.table(), view.rows(), view.first_ns(), view.last_ns(),
                          entry.place, std::make_shared<const std::string>(entry.block)});
    return base::ok_status();
  };
  PJ_ASSIGN(out.log, salvage_log(env, log_directory_of(directory), state.manifest.log, on_block));
  for (const LogLoss& loss : out.log.losses) {
    if (loss.blocks != 0 && loss.first_entry + loss.blocks - 1 <= sealed_of_all) continue;  // is in files
    Finding f{true, "wal/" + log_segment_name(loss.where.segment),
              loss.table ? std::string(schema_of(*loss.table).name) : std::string{}, loss.offset, loss.why};
    f.rows_known = loss.table.has_value();
    f.rows = loss.rows;
    if (loss.table) f.time = {true, loss.first_ns, loss.last_ns};
    out.findings.push_back(std::move(f));
  }
  if (!out.findings.empty()) out.findings.front().numbers = gaps;
  for (const auto& [source, last] : last_of) out.sources[source] = last;
  return out;
}

}  // namespace perjoule::bus
