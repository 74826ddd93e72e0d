// What a disk in memory holds, the steps that change it, and what a crash leaves of them. Inner part of
// memory_env; for .cc files of base alone. Thread rule: values; a page, once made, never changes and is
// shared by all states. Paths are already normal (memory_env.hpp); "" is the root.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_env.hpp"

namespace perjoule::base::memory {

constexpr std::size_t kPage = LogFile::kPage;
constexpr std::size_t kSector = MemoryEnv::kSector;
constexpr std::size_t kSectorsPerPage = kPage / kSector;

using Page = std::shared_ptr<const char>;  // kPage bytes; null = zeros

struct Bytes {
  std::uint64_t size = 0;
  std::vector<Page> pages;
};

// `into` lies inside the file.
void copy_out(const Bytes& bytes, std::uint64_t offset, std::span<char> into);

struct Step {
  enum class Kind : std::uint8_t {
    kCreate,
    kWrite,
    kSync,
    kRename,
    kRemove,
    kSyncDirectory,
    kMakeDirectory,
  };
  Kind kind = Kind::kCreate;
  std::size_t file = 0;  // index into Image::files; not for directories
  std::string path;
  std::string to;  // kRename
  std::uint64_t offset =
      0;  // kWrite: the range written; `pages` are the whole pages it touches, as they then are
  std::uint64_t length = 0;
  std::vector<Page> pages;

  // kWrite.
  std::uint64_t end() const { return offset + length; }
  std::uint64_t first_sector() const { return offset / kSector; }
  std::uint64_t sectors() const { return (end() + kSector - 1) / kSector - first_sector(); }
};

struct Image {
  std::map<std::string, std::size_t, std::less<>> names;  // -> index into `files`
  std::set<std::string, std::less<>> directories;
  std::vector<std::shared_ptr<Bytes>> files;  // shared with other images until written

  Bytes& writable(std::size_t file);
  // The step has happened, all of it.
  void apply(const Step& step);
};

std::string_view folder_of(std::string_view path);
// Index of the last write that no later step synced; steps.size() if there is none.
std::size_t last_unsynced_write(std::span<const Step> steps);
Image after_crash(const Image& base, std::span<const Step> steps, CrashChoice choice);

}  // namespace perjoule::base::memory
