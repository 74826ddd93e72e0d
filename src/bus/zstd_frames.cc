// ZSTD_compressSequences belongs to the part of the library that may change; every libzstd since 1.5.0 has it
// in this form.
#define ZSTD_STATIC_LINKING_ONLY
#include "bus/zstd_frames.hpp"

#include <zstd.h>

#include <algorithm>
#include <vector>

#include "base/assert.hpp"

namespace perjoule::bus {

FrameMaker::FrameMaker() : context_(ZSTD_createCCtx()) { PJ_CHECK(context_ != nullptr); }
FrameMaker::~FrameMaker() { ZSTD_freeCCtx(context_); }

char* FrameMaker::room_for(std::size_t raw_bytes) {
  // Each block has a head of three bytes; parts may be small.
  const std::size_t bound = ZSTD_compressBound(raw_bytes) + raw_bytes / 64 + 64;
  if (room_bytes_ < bound) room_ = std::make_unique_for_overwrite<char[]>(room_bytes_ = bound);
  return room_.get();
}

std::string_view FrameMaker::with_matches(std::string_view raw, int level) {
  char* const to = room_for(raw.size());
  const std::size_t n = ZSTD_compressCCtx(context_, to, room_bytes_, raw.data(), raw.size(), level);
  PJ_CHECK(ZSTD_isError(n) == 0);  // the destination is large enough by the bound
  return {to, n};
}

std::string_view FrameMaker::of_literals(std::string_view raw, std::size_t part) {
  if (part == 0) part = kMaxPart;
  PJ_CHECK(part <= kMaxPart);
  char* const to = room_for(raw.size());
  ZSTD_CCtx_reset(context_, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters);
  // A block of literals up to the delimiter, and no match.
  std::vector<ZSTD_Sequence> blocks;
  for (std::size_t from = 0; from < raw.size(); from += part)
    blocks.push_back({0, static_cast<unsigned>(std::min(part, raw.size() - from)), 0, 0});
  const std::size_t n =
      ZSTD_compressSequences(context_, to, room_bytes_, blocks.data(), blocks.size(), raw.data(), raw.size());
  ZSTD_CCtx_reset(context_, ZSTD_reset_session_and_parameters);
  PJ_CHECK(ZSTD_isError(n) == 0);
  return {to, n};
}

}  // namespace perjoule::bus
