// Any bytes as an HTTP request to a small server: an answer that begins like one, or none; never a crash.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/http_server.hpp"

namespace {

using namespace perjoule::api;

Gate make_gate() {
  Router router;
  const auto echo = [](const Request& r) {
    Response response;
    response.type = "text/plain";
    response.body = r.body + std::string(r.accepted({"text/plain", "text/csv"}));
    for (const auto& [name, value] : r.parameters) response.body += name + value;
    for (const auto& [name, value] : r.query) response.body += name + value;
    return response;
  };
  router.add("GET", "/a/{b}/{c...}", echo);
  router.add("POST", "/a/{b}", echo, {.body_bytes = 4096, .types = {"text/plain"}});
  return Gate(std::move(router), {{"0123456789abcdef"}, true});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Gate kGate = make_gate();
  const std::string text = answer_bytes(kGate, {reinterpret_cast<const char*>(data), size}, 4096);
  if (!text.empty() && !text.starts_with("HTTP/1.")) std::abort();
  return 0;
}
