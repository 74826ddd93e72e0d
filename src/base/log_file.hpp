// A write-ahead log's file: of one size from birth, all of it allocated and written once, so that a durable
// write changes neither size nor extents and costs one write and one flush. Made and opened by Env (env.hpp).
// Real files are written with O_DIRECT where the file system takes it, through io_uring (write and fdatasync
// in one linked submission) or pwrite + fdatasync; small writes that need not last yet go through the page
// cache. Thread rule: write() and sync() from one thread at a time;
// read() from any thread, at the same time. Ownership: the Env outlives its files. Units: bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace perjoule::base {

enum class Sync : std::uint8_t {
  kNone,  // handed to the operating system; a crash may lose it, or keep any of its sectors
  kData,  // durable when the call returns
};

// The first write or sync that fails is the last one tried: the kernel may have marked the lost pages clean,
// so a second fsync that succeeds would prove nothing. Every later write or sync returns that first error.
class LogFile {
 public:
  static constexpr std::size_t kPage = 4096;

  virtual ~LogFile() = default;
  virtual std::uint64_t size() const = 0;
  // How this file is written: "io_uring", "pwrite", "buffered" (pwrite through the page cache), "memory".
  virtual std::string_view io() const = 0;
  // Writes whole pages. `offset`, the size and the address of `pages` are multiples of kPage and the range
  // lies in the file (PJ_CHECK). Sync::kData: these pages and all written before are durable on return.
  Status write(std::uint64_t offset, std::string_view pages, Sync sync);
  // All written so far is durable on return.
  Status sync();
  // Fills `into` from any offset; kCorrupt where that reaches beyond the end.
  Status read(std::uint64_t offset, std::span<char> into) const;

 protected:
  virtual Status do_write(std::uint64_t offset, std::string_view pages, Sync sync) = 0;
  virtual Status do_sync() = 0;
  virtual Status do_read(std::uint64_t offset, std::span<char> into) const = 0;

 private:
  Status remember(Status status);

  std::optional<Error> failed_;
};

// What create_log and open_log use in this process: "pwrite", which with one write in flight took less time
// and half the kernel's processor time of "io_uring" (its fdatasync goes to another thread). The environment
// variable PERJOULE_LOG_IO (io_uring, pwrite or buffered) decides instead where it is set; "unknown" if it
// names something else or what the kernel refuses; create_log and open_log then say so.
std::string_view log_io_name();

// A growing buffer whose address is a multiple of LogFile::kPage. Thread rule: a value. Moved from, it is
// empty.
class PageBuffer {
 public:
  PageBuffer() = default;
  PageBuffer(PageBuffer&& other) noexcept { swap(other); }
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    PageBuffer(std::move(other)).swap(*this);
    return *this;
  }
  void append(std::string_view bytes);
  void append_zeros(std::size_t bytes);
  // Bytes that are there already (PJ_CHECK).
  void overwrite(std::size_t at, std::string_view bytes);
  // Zeros up to the next multiple of kPage.
  void pad_to_page();
  std::string_view view() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Forgets the bytes, keeps the memory.
  void clear() { size_ = 0; }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  void swap(PageBuffer& other) {
    data_.swap(other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  // Room for `bytes` more; where they go.
  char* grow(std::size_t bytes);

  std::unique_ptr<char, Free> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace perjoule::base
