// Zstandard frames of pages. Two ways to make one: with matches, as usual, and of literals alone, which only
// counts how often each byte comes. The second costs a third of the first and gives no more bytes where
// values repeat by chance only: codes of kernels, low bytes of numbers. Both are plain frames that state
// their size. Thread rule: one thread per FrameMaker. Ownership: a frame lies in the maker until the next
// one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct ZSTD_CCtx_s;

namespace perjoule::bus {

class FrameMaker {
 public:
  FrameMaker();
  ~FrameMaker();
  FrameMaker(const FrameMaker&) = delete;
  FrameMaker& operator=(const FrameMaker&) = delete;

  std::string_view with_matches(std::string_view raw, int level);
  // `part`: bytes that are counted together, at most kMaxPart; 0: as many as possible.
  std::string_view of_literals(std::string_view raw, std::size_t part = 0);
  static constexpr std::size_t kMaxPart = 128 << 10;

 private:
  char* room_for(std::size_t raw_bytes);

  ZSTD_CCtx_s* context_;
  std::unique_ptr<char[]> room_;
  std::size_t room_bytes_ = 0;
};

}  // namespace perjoule::bus
