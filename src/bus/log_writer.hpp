// Appends groups of blocks to the log. One group is in flight at a time, so a whole group on the disk proves
// that all before it are there too. Segments are written full once before they are used and then used again
// and again, so that a durable write costs neither allocation nor a change of the file's size. Thread rule:
// make_room(), append() and sync() from one thread at a time; release() and prepare() from another one at the
// same time. Ownership: the Env must outlive it. Units: bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/log_file.hpp"
#include "bus/log_reader.hpp"

namespace perjoule::bus {

struct LogOptions {
  std::uint64_t segment_bytes = 256U << 20;  // more than kMaxBlockBytes
};

class LogWriter {
 public:
  // `end` is what read_log() found: writing goes on there. Errors: kIo when a first segment cannot be made.
  static base::Result<std::unique_ptr<LogWriter>> open(base::Env& env, std::string directory,
                                                       const LogEnd& end, LogOptions options = {});

  // Makes sure that a group of so many bytes fits: goes to the next segment if not. After an error (a full
  // disk) nothing has changed and the log is as good as before.
  base::Status make_room(std::uint64_t bytes);
  // One group, for which there is room. With Sync::kData it and all before are on the disk when this returns;
  // its blocks' places are appended to `places`. After an error the log refuses everything.
  base::Status append(std::span<const std::string_view> blocks, base::Sync sync,
                      std::vector<LogPlace>& places);
  base::Status sync();
  std::uint64_t next_entry() const { return end_.next_entry; }
  std::uint64_t unsynced_bytes() const { return unsynced_bytes_; }
  // How the log is written: "io_uring", "pwrite", ...
  std::string_view io() const { return file_->io(); }

  // Makes the next segment ahead of need. Errors: kIo (a full disk); append() then tries again itself.
  base::Status prepare();
  // Segments below this one are needed no more: they become spare ones, or go if there are enough.
  base::Status release(std::uint64_t below_segment);
  // The given segment with its first group.
  LogStart start_of(std::uint64_t segment) const;
  std::uint64_t current_segment() const;
  // Bytes of all segments in use.
  std::uint64_t bytes_in_use() const;

 private:
  LogWriter(base::Env& env, std::string directory, const LogEnd& end, LogOptions options);
  base::Status go_to_segment(std::uint64_t number);
  base::Status take_spare(const std::string& path);
  std::string spare_path(std::uint64_t number) const;

  base::Env& env_;
  const std::string directory_;
  const LogOptions options_;
  LogEnd end_;
  std::uint64_t durable_group_ = 0;
  std::atomic<std::uint64_t> unsynced_bytes_ = 0;
  std::unique_ptr<base::LogFile> file_;
  base::PageBuffer group_;
  mutable std::mutex mutex_;  // below
  std::vector<std::string> spares_;
  std::vector<LogStart> segments_;  // in use, oldest first
  std::uint64_t spare_number_ = 0;
};

}  // namespace perjoule::bus
