// A client's blocks on disk while the server is away (docs/formats/wire.md, "What the client keeps on disk"):
// one file per block, written whole and synced, in the order of their names. Numbers are counted from the
// session's base, which is known after the first greeting. Thread rule: one thread at a time. Ownership: the
// Env must outlive it. One client per folder. Units: bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"

namespace perjoule::wire {

struct SpooledBlock {
  std::uint64_t session = 0, first = 0, last = 0;
};

class Spool {
 public:
  // `max_bytes` of block files. Begins a session. Errors: kIo for a folder that cannot be written, kCorrupt
  // for a numbers file that is none.
  static base::Result<Spool> open(base::Env& env, std::string directory, std::uint64_t max_bytes);

  // What earlier sessions left, oldest first.
  const std::vector<SpooledBlock>& found() const { return found_; }
  std::uint64_t session() const { return session_; }
  std::optional<std::uint64_t> base_of(std::uint64_t session) const;
  // The last number given in the session to rows that were dropped; 0: none.
  std::uint64_t last_of(std::uint64_t session) const;
  bool has_room(std::uint64_t bytes) const { return bytes_ + bytes <= max_bytes_; }
  std::uint64_t bytes() const { return bytes_; }

  base::Status write(const SpooledBlock& block, std::string_view bytes);
  // Errors: kCorrupt for a file that is no whole block.
  base::Result<std::string> read(const SpooledBlock& block) const;
  void remove(const SpooledBlock& block);

  // Durable when they return.
  base::Status set_base(std::uint64_t session, std::uint64_t base);
  base::Status note_last(std::uint64_t session, std::uint64_t last);
  // The numbers of sessions before this one, which no block needs any more.
  void forget_before(std::uint64_t session);

 private:
  struct SessionNumbers {
    std::optional<std::uint64_t> base;
    std::uint64_t last = 0;
  };

  Spool(base::Env& env, std::string directory, std::uint64_t max_bytes)
      : env_(&env), directory_(std::move(directory)), max_bytes_(max_bytes) {}
  base::Status load();
  base::Status load_numbers(std::uint64_t session, const std::string& path);
  base::Status save_numbers(std::uint64_t session);
  std::string path_of(const SpooledBlock& block) const;
  std::string numbers_path(std::uint64_t session) const;

  base::Env* env_;
  std::string directory_;
  std::uint64_t max_bytes_;
  std::uint64_t session_ = 1, bytes_ = 0;
  std::vector<SpooledBlock> found_;
  std::map<std::uint64_t, SessionNumbers> numbers_;
  std::map<std::string, std::uint64_t> sizes_;  // of the block files, by path
};

}  // namespace perjoule::wire
