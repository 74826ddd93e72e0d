// The certificate of a server, for .cc files of wire and above that have Asio. Thread rule: pure. Ownership:
// the caller's context.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <string>

#include "base/result.hpp"

namespace perjoule::wire {

// TLS 1.2 or newer with this certificate chain and key, both PEM. Errors: kMissing, kBadInput.
base::Status load_certificate(boost::asio::ssl::context& tls, const std::string& certificate_file,
                              const std::string& key_file);

}  // namespace perjoule::wire
