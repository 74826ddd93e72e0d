// Reading of gzip and plain text alike, with a limit on what may come out (decompression bombs).
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::base {

inline constexpr std::uint64_t kTextLimit = 1ULL << 30;

// The `why` of an error when more than `limit` would come out.
inline constexpr const char* kBeyondLimit = "unpacks to more than the size limit";

bool is_gzip(std::string_view bytes);
// All members of a gzip stream. `name` is for the error, which says at which byte the stream breaks.
Result<std::string> gunzip(std::string_view bytes, const std::string& name, std::uint64_t limit = kTextLimit);
// Reads a file and, if it is gzip, unpacks it.
Result<std::string> read_text(Env& env, const std::string& path, std::uint64_t limit = kTextLimit);

}  // namespace perjoule::base
