#include "bus/log_reader.hpp"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "bus/block.hpp"
#include "bus/log_layout.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kPage = base::LogFile::kPage;
// Read at once: a log of small groups would cost two calls for each.
constexpr std::uint64_t kStretch = 4 << 20;

std::uint64_t to_page(std::uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// A head that was written as a whole, into this segment.
std::optional<GroupHead> head_of(std::string_view bytes, std::uint64_t segment) {
  GroupHead head;
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  const bool whole = head.magic == kGroupMagic && head.version == kLogVersion && head.segment == segment &&
                     XXH3_64bits(&head, offsetof(GroupHead, head_checksum)) == head.head_checksum;
  return whole ? std::optional(head) : std::nullopt;
}

class LogScan {
 public:
  LogScan(base::Env& env, std::string directory, const std::function<base::Status(const LogEntry&)>& on_block)
      : env_(env), directory_(std::move(directory)), on_block_(on_block) {}

  base::Result<LogEnd> run(const LogStart& start) {
    PJ_TRY(list_segments());
    end_.segment = start.segment;
    end_.next_group = start.group;
    if (names_.empty() && start.bytes == 0) {
      end_.segments.push_back(start);
      return end_;
    }
    for (;;) {
      PJ_TRY(open_segment(end_.segment));
      end_.segments.push_back({end_.segment, end_.next_group, file_->size()});
      if (end_.segment == start.segment && file_->size() < start.bytes)
        return damaged(file_->size(),
                       "the segment is cut short: it had " + std::to_string(start.bytes) + " bytes");
      PJ_TRY(read_segment());
      if (!next_segment_goes_on()) break;
      ++end_.segment;
      end_.offset = 0;
    }
    PJ_TRY(judge_end());
    return end_;
  }

 private:
  base::Status list_segments() {
    PJ_ASSIGN(const auto names, env_.list(directory_));
    for (const auto& name : names) {
      const std::uint64_t number = log_segment_number(name);
      if (number != 0) names_[number] = directory_ + "/" + name;
    }
    return base::ok_status();
  }

  base::Status open_segment(std::uint64_t number) {
    const auto found = names_.find(number);
    if (found == names_.end()) {
      return base::missing("read the log", directory_ + "/" + log_segment_name(number),
                           "this segment of the log is not there, though it is still needed",
                           "Run perjoule store repair to go on without the events in it");
    }
    path_ = found->second;
    PJ_ASSIGN(file_, env_.open_log_for_reading(path_));
    forget_stretch();
    return base::ok_status();
  }

  void forget_stretch() { stretch_.clear(); }

  // Bytes of the segment; they live until the next call.
  base::Result<std::string_view> bytes_at(std::uint64_t offset, std::uint64_t bytes) {
    if (offset < stretch_from_ || offset + bytes > stretch_from_ + stretch_.size()) {
      stretch_from_ = offset;
      stretch_.resize(std::min(std::max(bytes, kStretch), file_->size() - offset));
      PJ_TRY(file_->read(offset, stretch_));
    }
    return std::string_view(stretch_.data() + (offset - stretch_from_), bytes);
  }

  std::optional<GroupHead> head_at(const base::LogFile& file, std::uint64_t segment, std::uint64_t offset) {
    std::array<char, sizeof(GroupHead)> bytes;
    if (offset + bytes.size() > file.size() || !file.read(offset, bytes).ok()) return std::nullopt;
    return head_of({bytes.data(), bytes.size()}, segment);
  }

  base::Status read_segment() {
    while (end_.offset < file_->size()) {
      PJ_ASSIGN(const auto first, bytes_at(end_.offset, sizeof(GroupHead)));
      const auto head = head_of(first, end_.segment);
      if (!head || head->group != end_.next_group || head->incarnation < end_.incarnation) break;
      if (head->bytes > file_->size() - end_.offset - sizeof *head) break;
      PJ_ASSIGN(const auto group, bytes_at(end_.offset, sizeof *head + head->bytes));
      const std::string_view blocks = group.substr(sizeof *head);
      if (XXH3_64bits(blocks.data(), blocks.size()) != head->blocks_checksum) break;
      PJ_TRY(deliver(*head, blocks));
      end_.offset += to_page(sizeof *head + head->bytes);
      end_.next_group = head->group + 1;
      end_.next_entry = head->first_entry + head->blocks;
      end_.incarnation = head->incarnation;
      ++end_.groups;
      end_.bytes += head->bytes;
    }
    return base::ok_status();
  }

  base::Status deliver(const GroupHead& head, std::string_view rest) {
    std::uint64_t offset = end_.offset + sizeof head;
    for (std::uint32_t i = 0; i < head.blocks; ++i) {
      const std::size_t size = BlockView::size_of(rest);
      if (size == 0 || size > rest.size()) return damaged(offset, "a block with an impossible length");
      PJ_TRY(on_block_({head.first_entry + i,
                        {end_.segment, offset, static_cast<std::uint32_t>(size)},
                        rest.substr(0, size)}));
      rest.remove_prefix(size);
      offset += size;
    }
    if (!rest.empty()) return damaged(offset, "bytes that belong to no block");
    return base::ok_status();
  }

  // A writer leaves the rest of a segment as it is when a group does not fit.
  bool next_segment_goes_on() {
    const auto found = names_.find(end_.segment + 1);
    if (found == names_.end()) return false;
    const auto file = env_.open_log_for_reading(found->second);
    if (!file.ok()) return false;
    const auto head = head_at(**file, end_.segment + 1, 0);
    return head && head->group == end_.next_group && head->incarnation >= end_.incarnation;
  }

  // Does any group behind say that the missing one had been on the disk?
  base::Status judge_end() {
    std::uint64_t durable = 0;
    PJ_TRY(look_behind(*file_, end_.segment, end_.offset, durable));
    for (auto it = names_.upper_bound(end_.segment); it != names_.end(); ++it) {
      PJ_ASSIGN(const auto file, env_.open_log_for_reading(it->second));
      PJ_TRY(look_behind(*file, it->first, 0, durable));
    }
    if (durable >= end_.next_group) {
      // A writer at work may have finished the group since.
      forget_stretch();
      PJ_TRY(read_segment());
      if (durable >= end_.next_group)
        return damaged(end_.offset, "group " + std::to_string(end_.next_group) +
                                        " is damaged, though later groups say it was on the disk");
    }
    const auto head = head_at(*file_, end_.segment, end_.offset);
    if (head && head->group == end_.next_group && head->incarnation >= end_.incarnation)
      end_.torn = place(end_.offset);
    return base::ok_status();
  }

  base::Status look_behind(const base::LogFile& file, std::uint64_t segment, std::uint64_t from,
                           std::uint64_t& durable) {
    for (std::uint64_t at = from; at < file.size(); at += kStretch) {
      stretch_.resize(std::min(kStretch, file.size() - at));
      PJ_TRY(file.read(at, stretch_));
      for (std::size_t page = 0; page < stretch_.size(); page += kPage) {
        const auto head = head_of({stretch_.data() + page, stretch_.size() - page}, segment);
        if (head && head->incarnation >= end_.incarnation && head->group >= end_.next_group)
          durable = std::max(durable, head->durable_group);
      }
    }
    return base::ok_status();
  }

  std::string place(std::uint64_t offset) const { return path_ + ": byte " + std::to_string(offset); }
  base::Error damaged(std::uint64_t offset, std::string why) const {
    return base::corrupt("read the log", place(offset), std::move(why),
                         "Run perjoule store repair to keep everything else");
  }

  base::Env& env_;
  const std::string directory_;
  const std::function<base::Status(const LogEntry&)>& on_block_;
  std::map<std::uint64_t, std::string> names_;
  std::string path_;
  std::unique_ptr<base::LogFile> file_;
  std::vector<char> stretch_;  // of file_, from stretch_from_; empty: none
  std::uint64_t stretch_from_ = 0;
  LogEnd end_;
};

}  // namespace

std::string log_segment_name(std::uint64_t segment) {
  std::string digits = std::to_string(segment);
  digits.insert(0, digits.size() < 10 ? 10 - digits.size() : 0, '0');
  return digits + ".log";
}

std::uint64_t log_segment_number(const std::string& name) {
  constexpr std::string_view kEnd = ".log";
  if (name.size() < 10 + kEnd.size() || name.size() > 18 + kEnd.size() || !name.ends_with(kEnd)) return 0;
  std::uint64_t number = 0;
  for (const char c : std::string_view(name).substr(0, name.size() - kEnd.size())) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

base::Result<LogEnd> read_log(base::Env& env, const std::string& directory, const LogStart& start,
                              const std::function<base::Status(const LogEntry&)>& on_block) {
  return LogScan(env, directory, on_block).run(start);
}

}  // namespace perjoule::bus
