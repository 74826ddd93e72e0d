// Who may come in: the rules that the block server and the HTTP server share. A server listens on the
// loopback, or elsewhere with TLS and a token. A token file has one token a line; blanks around it, empty
// lines and lines with # are left out, so one file serves both servers, and an old token may live on beside
// its successor. Thread rule: pure functions; a TokenSet from any thread. Ownership: values.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace perjoule::wire {

inline constexpr std::size_t kMinTokenBytes = 16;
inline constexpr std::size_t kMaxTokenBytes = 1024;

struct Door {
  std::string address;                     // an IP address
  std::string certificate_file, key_file;  // PEM; both or none
  bool has_tokens = false;
};
// Errors: kBadInput for an address that is none, half a pair, or an open door.
base::Status check_door(const Door& door);

// Errors: kBadInput for a file without a token, or with one of fewer than kMinTokenBytes or more than
// kMaxTokenBytes; no error has a token's text. `path` is for errors.
base::Result<std::vector<std::string>> read_tokens(std::string_view text, const std::string& path);

class TokenSet {
 public:
  TokenSet() = default;  // of none
  explicit TokenSet(const std::vector<std::string>& tokens);
  bool empty() const { return digests_.empty(); }
  // Takes as long for any text, whatever is in the set.
  bool holds(std::string_view token) const;

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256
  std::vector<Digest> digests_;
};

}  // namespace perjoule::wire
