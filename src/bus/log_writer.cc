#include "bus/log_writer.hpp"

#include <xxhash.h>

#include <algorithm>

#include "base/assert.hpp"
#include "bus/log_layout.hpp"

namespace perjoule::bus {
namespace {

constexpr std::string_view kSpare = "spare-";
constexpr std::size_t kSparesKept = 2;

std::uint64_t padded_group(std::uint64_t bytes) {
  constexpr std::uint64_t kPage = base::LogFile::kPage;
  return (sizeof(GroupHead) + bytes + kPage - 1) / kPage * kPage;
}

}  // namespace

LogWriter::LogWriter(base::Env& env, std::string directory, const LogEnd& end, LogOptions options)
    : env_(env), directory_(std::move(directory)), options_(options), end_(end) {
  ++end_.incarnation;
  durable_group_ = end_.next_group - 1;  // it was read from the disk
}

base::Result<std::unique_ptr<LogWriter>> LogWriter::open(base::Env& env, std::string directory,
                                                         const LogEnd& end, LogOptions options) {
  PJ_TRY(env.create_directories(directory));
  std::unique_ptr<LogWriter> log(new LogWriter(env, directory, end, options));
  PJ_ASSIGN(const auto names, env.list(directory));
  log->segments_ = end.segments;
  PJ_CHECK(!log->segments_.empty() && log->segments_.back().segment == end.segment);
  // Above every number in use: a new spare must not meet the name of one from an earlier life.
  log->spare_number_ = end.segment;
  for (const auto& name : names) {
    const std::size_t from = name.starts_with(kSpare) ? kSpare.size() : 0;
    log->spare_number_ = std::max(log->spare_number_, log_segment_number(name.substr(from)));
  }
  for (const auto& name : names) {
    // One that a crash left half made.
    if (name.ends_with(".part")) PJ_TRY(env.remove(directory + "/" + name));
    if (name.starts_with(kSpare) && name.ends_with(".log")) log->spares_.push_back(directory + "/" + name);
    const std::uint64_t number = log_segment_number(name);
    if (number == 0) continue;
    // Before the start: released, but the crash came first. Behind the end: its first group was lost.
    if (number >= log->segments_.front().segment && number <= end.segment) continue;
    const std::string spare = log->spare_path(++log->spare_number_);
    PJ_TRY(env.rename(directory + "/" + name, spare));
    log->spares_.push_back(spare);
  }
  const std::string path = directory + "/" + log_segment_name(end.segment);
  if (!env.exists(path)) PJ_TRY(log->take_spare(path));
  PJ_ASSIGN(log->file_, env.open_log(path));
  log->segments_.back().bytes = log->file_->size();
  return log;
}

std::string LogWriter::spare_path(std::uint64_t number) const {
  return directory_ + "/" + std::string(kSpare) + log_segment_name(number);
}

base::Status LogWriter::prepare() {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    if (!spares_.empty()) return base::ok_status();
    path = spare_path(++spare_number_);
  }
  PJ_TRY(env_.create_log(path, options_.segment_bytes));
  const std::lock_guard lock(mutex_);
  spares_.push_back(std::move(path));
  return base::ok_status();
}

base::Status LogWriter::take_spare(const std::string& path) {
  PJ_TRY(prepare());
  std::string spare;
  {
    const std::lock_guard lock(mutex_);
    spare = std::move(spares_.back());
    spares_.pop_back();
  }
  return env_.rename(spare, path);
}

base::Status LogWriter::go_to_segment(std::uint64_t number) {
  const std::string path = directory_ + "/" + log_segment_name(number);
  PJ_TRY(take_spare(path));
  PJ_ASSIGN(file_, env_.open_log(path));
  end_.segment = number;
  end_.offset = 0;
  const std::lock_guard lock(mutex_);
  segments_.push_back({number, end_.next_group, file_->size()});
  return base::ok_status();
}

base::Status LogWriter::make_room(std::uint64_t bytes) {
  PJ_CHECK(padded_group(bytes) <= options_.segment_bytes);
  if (padded_group(bytes) <= file_->size() - end_.offset) return base::ok_status();
  // What is not on the disk yet must not be left behind in a file that is closed.
  if (unsynced_bytes_ != 0) PJ_TRY(sync());
  PJ_TRY(go_to_segment(end_.segment + 1));
  if (padded_group(bytes) <= file_->size()) return base::ok_status();
  return base::io_error("write to the log", directory_ + "/" + log_segment_name(end_.segment),
                        "this segment was made smaller than a group of " + std::to_string(bytes) + " bytes",
                        "Try again: the next segment is used then");
}

base::Status LogWriter::append(std::span<const std::string_view> blocks, base::Sync sync,
                               std::vector<LogPlace>& places) {
  std::uint64_t bytes = 0;
  for (const auto block : blocks) bytes += block.size();
  PJ_CHECK(!blocks.empty() && padded_group(bytes) <= file_->size() - end_.offset);
  GroupHead head;
  group_.clear();
  group_.append({reinterpret_cast<const char*>(&head), sizeof head});
  for (const auto block : blocks) {
    places.push_back({end_.segment, end_.offset + group_.size(), static_cast<std::uint32_t>(block.size())});
    group_.append(block);
  }
  head.segment = end_.segment;
  head.group = end_.next_group;
  head.durable_group = durable_group_;
  head.first_entry = end_.next_entry;
  head.incarnation = end_.incarnation;
  head.blocks = static_cast<std::uint32_t>(blocks.size());
  head.bytes = static_cast<std::uint32_t>(bytes);
  head.blocks_checksum = XXH3_64bits(group_.view().data() + sizeof head, bytes);
  head.head_checksum = XXH3_64bits(&head, offsetof(GroupHead, head_checksum));
  group_.overwrite(0, {reinterpret_cast<const char*>(&head), sizeof head});
  group_.pad_to_page();
  PJ_TRY(file_->write(end_.offset, group_.view(), sync));
  end_.offset += group_.size();
  ++end_.next_group;
  end_.next_entry += blocks.size();
  if (sync == base::Sync::kNone) unsynced_bytes_ += group_.size();
  if (sync == base::Sync::kData) unsynced_bytes_ = 0;
  if (sync == base::Sync::kData) durable_group_ = end_.next_group - 1;
  return base::ok_status();
}

base::Status LogWriter::sync() {
  PJ_TRY(file_->sync());
  unsynced_bytes_ = 0;
  durable_group_ = end_.next_group - 1;
  return base::ok_status();
}

base::Status LogWriter::release(std::uint64_t below_segment) {
  for (;;) {
    std::uint64_t number = 0;
    bool keep = false;
    std::string spare;
    {
      const std::lock_guard lock(mutex_);
      if (segments_.size() < 2 || segments_.front().segment >= below_segment) return base::ok_status();
      number = segments_.front().segment;
      segments_.erase(segments_.begin());
      keep = spares_.size() < kSparesKept;
      spare = spare_path(++spare_number_);
    }
    const std::string path = directory_ + "/" + log_segment_name(number);
    if (!keep) {
      PJ_TRY(env_.remove(path));
      continue;
    }
    PJ_TRY(env_.rename(path, spare));
    const std::lock_guard lock(mutex_);
    spares_.push_back(std::move(spare));
  }
}

LogStart LogWriter::start_of(std::uint64_t segment) const {
  const std::lock_guard lock(mutex_);
  for (const auto& s : segments_) {
    if (s.segment == segment) return s;
  }
  PJ_CHECK(false);
  return {};
}

std::uint64_t LogWriter::current_segment() const {
  const std::lock_guard lock(mutex_);
  return segments_.back().segment;
}

std::uint64_t LogWriter::bytes_in_use() const {
  const std::lock_guard lock(mutex_);
  return segments_.size() * options_.segment_bytes;
}

}  // namespace perjoule::bus
