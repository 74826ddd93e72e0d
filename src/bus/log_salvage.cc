#include "bus/log_salvage.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "bus/block.hpp"
#include "bus/log_layout.hpp"

namespace perjoule::bus {
namespace {

constexpr std::uint64_t kPage = base::LogFile::kPage;

struct FoundGroup {
  GroupHead head;
  std::uint64_t offset = 0;
  bool whole = false;  // its blocks' hash fits
};

class Salvage {
 public:
  Salvage(base::Env& env, std::string directory, const std::function<base::Status(const LogEntry&)>& on_block)
      : env_(env), directory_(std::move(directory)), on_block_(on_block) {}

  base::Result<SalvagedLog> run(const LogStart& start) {
    out_.next_group = start.group;
    out_.last_segment = start.segment;
    PJ_TRY(find_groups(start));
    PJ_TRY(note_missing_segments(start));
    for (const FoundGroup& group : groups_) {
      if (group.head.group > last_real_) break;  // torn: nobody was told that it is stored
      PJ_TRY(take(group));
    }
    if (out_.next_group <= last_real_)
      lose(end_segment_, end_offset_, 0,
           "the last groups are missing, though others say they were on the disk");
    return out_;
  }

 private:
  base::Status find_groups(const LogStart& start) {
    PJ_ASSIGN(const auto names, env_.list(directory_));
    for (const auto& name : names) {
      const std::uint64_t number = log_segment_number(name);
      if (number >= start.segment && number != 0) segments_[number] = directory_ + "/" + name;
    }
    std::uint64_t next = start.group;
    std::uint32_t incarnation = 0;
    for (const auto& [number, path] : segments_) {
      out_.last_segment = std::max(out_.last_segment, number);
      // A segment that is no log file any more is lost as a whole; its groups are missed by their numbers.
      const auto file = env_.open_log_for_reading(path);
      if (file.ok()) PJ_TRY(find_in_segment(**file, number, next, incarnation));
    }
    return base::ok_status();
  }

  base::Status find_in_segment(const base::LogFile& file, std::uint64_t number, std::uint64_t& next,
                               std::uint32_t& incarnation) {
    for (std::uint64_t at = 0; at + kPage <= file.size();) {
      FoundGroup found;
      found.offset = at;
      std::array<char, sizeof(GroupHead)> bytes;
      PJ_TRY(file.read(at, bytes));
      std::memcpy(&found.head, bytes.data(), bytes.size());
      const GroupHead& head = found.head;
      const bool ours = head.magic == kGroupMagic && head.version == kLogVersion && head.segment == number &&
                        XXH3_64bits(&head, offsetof(GroupHead, head_checksum)) == head.head_checksum &&
                        head.group >= next && head.incarnation >= incarnation &&
                        head.bytes <= file.size() - at - sizeof head;
      if (!ours) {
        at += kPage;
        continue;
      }
      blocks_.resize(head.bytes);
      PJ_TRY(file.read(at + sizeof head, blocks_));
      found.whole = XXH3_64bits(blocks_.data(), blocks_.size()) == head.blocks_checksum;
      last_real_ = std::max({last_real_, head.durable_group, found.whole ? head.group : 0});
      groups_.push_back(found);
      next = head.group + 1;
      incarnation = head.incarnation;
      at += (sizeof head + head.bytes + kPage - 1) / kPage * kPage;
    }
    return base::ok_status();
  }

  // Without the first segment nobody can say what was in it, not even by numbers.
  base::Status note_missing_segments(const LogStart& start) {
    end_segment_ = start.segment;
    if (segments_.empty() || segments_.contains(start.segment)) return base::ok_status();
    lose(start.segment, 0, 0, "this segment of the log is not there, though it is still needed");
    return base::ok_status();
  }

  base::Status take(const FoundGroup& group) {
    const GroupHead& head = group.head;
    if (head.group != out_.next_group) {
      const std::uint64_t missing =
          head.first_entry > out_.next_entry ? head.first_entry - out_.next_entry : 0;
      lose(end_segment_, end_offset_, first_ ? 0 : missing,
           "group " + std::to_string(out_.next_group) +
               " is damaged, though later groups say it was on the disk");
    }
    first_ = false;
    out_.next_entry = head.first_entry;
    out_.next_group = head.group + 1;
    PJ_ASSIGN(const auto file, env_.open_log_for_reading(segments_.at(head.segment)));
    blocks_.resize(head.bytes);
    PJ_TRY(file->read(group.offset + sizeof head, blocks_));
    PJ_TRY(take_blocks(group));
    out_.next_entry = head.first_entry + head.blocks;
    end_segment_ = head.segment;
    end_offset_ = group.offset + (sizeof head + head.bytes + kPage - 1) / kPage * kPage;
    return base::ok_status();
  }

  base::Status take_blocks(const FoundGroup& group) {
    const GroupHead& head = group.head;
    std::string_view rest(blocks_.data(), blocks_.size());
    std::uint64_t offset = group.offset + sizeof head;
    for (std::uint32_t i = 0; i < head.blocks; ++i) {
      out_.next_entry = head.first_entry + i;
      const std::size_t size = BlockView::size_of(rest);
      if (size == 0 || size > rest.size()) {
        lose(head.segment, offset, head.blocks - i, "a block with an impossible length");
        return base::ok_status();
      }
      const LogPlace place{head.segment, offset, static_cast<std::uint32_t>(size)};
      PJ_TRY(take_block({out_.next_entry, place, rest.substr(0, size)}));
      rest.remove_prefix(size);
      offset += size;
    }
    return base::ok_status();
  }

  base::Status take_block(const LogEntry& entry) {
    const auto view = BlockView::open(entry.block, log_segment_name(entry.place.segment));
    const base::Status sound = view.ok() ? view->check() : base::Status(view.error());
    if (sound.ok()) return on_block_(entry);
    lose(entry.place.segment, entry.place.offset, 1, sound.error().why);
    if (!view.ok()) return base::ok_status();
    LogLoss& loss = out_.losses.back();
    loss.table = view->table();
    loss.rows = view->rows();
    loss.first_ns = view->first_ns();
    loss.last_ns = view->last_ns();
    return base::ok_status();
  }

  void lose(std::uint64_t segment, std::uint64_t offset, std::uint64_t blocks, std::string why) {
    LogLoss loss;
    loss.where = {segment, out_.next_group};
    loss.offset = offset;
    loss.first_entry = out_.next_entry;
    loss.blocks = blocks;
    loss.why = std::move(why);
    out_.losses.push_back(std::move(loss));
  }

  base::Env& env_;
  const std::string directory_;
  const std::function<base::Status(const LogEntry&)>& on_block_;
  std::map<std::uint64_t, std::string> segments_;
  std::vector<FoundGroup> groups_;
  std::vector<char> blocks_;
  std::uint64_t last_real_ = 0;  // groups up to this one were on the disk
  bool first_ = true;            // no group was taken yet, so its number of entries before is not known
  std::uint64_t end_segment_ = 1, end_offset_ = 0;
  SalvagedLog out_;
};

}  // namespace

base::Result<SalvagedLog> salvage_log(base::Env& env, const std::string& directory, const LogStart& start,
                                      const std::function<base::Status(const LogEntry&)>& on_block) {
  return Salvage(env, directory, on_block).run(start);
}

}  // namespace perjoule::bus
