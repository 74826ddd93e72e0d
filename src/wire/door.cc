#include "wire/door.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <boost/asio/ip/address.hpp>
#include <filesystem>

#include "base/text.hpp"
#include "wire/tls_include.hpp"

namespace perjoule::wire {
namespace {

std::array<unsigned char, SHA256_DIGEST_LENGTH> digest_of(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> out;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

}  // namespace

base::Status check_door(const Door& door) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(door.address, error);
  if (error) return base::bad_input("listen", door.address, "it is no IP address", "Use 127.0.0.1 or ::1");
  if (door.certificate_file.empty() != door.key_file.empty())
    return base::bad_input("use TLS", door.certificate_file + door.key_file,
                           "a certificate and its key go together", "Give --certificate and --key");
  if (address.is_loopback() || (!door.certificate_file.empty() && door.has_tokens)) return base::ok_status();
  return base::bad_input("listen", door.address, "an address that others reach needs TLS and a token",
                         "Give --certificate, --key and --token-file, or listen on 127.0.0.1");
}

base::Result<std::vector<std::string>> read_tokens(std::string_view text, const std::string& path) {
  constexpr const char* kMake = "Make one with: openssl rand -hex 32";
  const auto wrong = [&](std::string why) {
    return base::bad_input("read the tokens", path, std::move(why), kMake);
  };
  std::vector<std::string> tokens;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.size() < kMinTokenBytes) return wrong("a token has fewer than 16 characters");
    if (line.size() > kMaxTokenBytes) return wrong("a token has more than 1,024 bytes");
    tokens.emplace_back(line);
  }
  if (tokens.empty()) return wrong("there is no token in it");
  return tokens;
}

TokenSet::TokenSet(const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) digests_.push_back(digest_of(token));
}

bool TokenSet::holds(std::string_view token) const {
  const Digest given = digest_of(token);
  bool found = false;
  for (const Digest& digest : digests_)
    found = CRYPTO_memcmp(given.data(), digest.data(), given.size()) == 0 || found;
  return found;
}

base::Status load_certificate(boost::asio::ssl::context& tls, const std::string& certificate_file,
                              const std::string& key_file) {
  for (const auto& file : {certificate_file, key_file}) {
    if (!std::filesystem::exists(file))
      return base::missing("use TLS", file, "there is no such file", "Give a PEM file");
  }
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  tls.use_certificate_chain_file(certificate_file, error);
  if (error) return base::bad_input("use TLS", certificate_file, error.message(), "Give a PEM file");
  tls.use_private_key_file(key_file, boost::asio::ssl::context::pem, error);
  if (!error) return base::ok_status();
  return base::bad_input("use TLS", key_file, error.message(), "Give the certificate's key as a PEM file");
}

}  // namespace perjoule::wire
