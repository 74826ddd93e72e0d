#include "api/router.hpp"

#include <algorithm>
#include <exception>
#include <new>

#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::api {
namespace {

constexpr const char* kWhat = "answer the request";

// Matches a path with a pattern, part by part; parts are decoded only after they were told apart, so %2F is
// no '/'.
bool matches(std::string_view pattern, std::string_view path, std::vector<TextPair>& parameters) {
  parameters.clear();
  const auto want = base::split(pattern, '/');
  const auto have = base::split(path, '/');
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (i >= have.size()) return false;
    if (!want[i].starts_with('{')) {
      if (want[i] != have[i]) return false;
      continue;
    }
    std::string_view name = want[i].substr(1, want[i].size() - 2);
    const bool rest = name.ends_with("...");
    if (rest) name.remove_suffix(3);
    const auto from = static_cast<std::size_t>(have[i].data() - path.data());
    const auto value = percent_decoded(rest ? path.substr(from) : have[i]);
    if (!value || value->empty()) return false;
    parameters.emplace_back(name, *value);
    if (rest) return true;
  }
  return want.size() == have.size();
}

Response refuse(unsigned status, std::string where, std::string why, std::string hint = {}) {
  return error_response(status, base::bad_input(kWhat, std::move(where), std::move(why), std::move(hint)));
}

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

bool is_local_name(std::string_view host) {
  // "127.example.com" is a name that anybody may register.
  const bool is_address = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return host == "localhost" || host == "[::1]" || (is_address && host.starts_with("127."));
}

// "https://host:port" -> "host:port".
std::string_view authority_of(std::string_view origin) {
  const std::size_t mark = origin.find("://");
  return mark == std::string_view::npos ? origin : origin.substr(mark + 3);
}

// Unpacks in place; a response if that cannot be.
std::optional<Response> unpack(Request& request, std::size_t limit) {
  const std::string packing = lower_case(base::trim(request.header("content-encoding")));
  if (packing.empty() || packing == "identity") return std::nullopt;
  if (packing != "gzip")
    return refuse(415, "Content-Encoding", "'" + packing + "' is not known here", "Send gzip or plain");
  if (!base::is_gzip(request.body)) return refuse(400, "body", "it is no gzip stream");
  auto plain = base::gunzip(request.body, "body", limit);
  if (plain.ok()) {
    request.body = std::move(plain).value();
    return std::nullopt;
  }
  if (plain.error().why == base::kBeyondLimit)
    return refuse(413, "body", "it unpacks to more than " + std::to_string(limit) + " bytes",
                  "Send it in smaller parts");
  return refuse(400, plain.error().where, plain.error().why);
}

}  // namespace

void Router::add(std::string method, std::string pattern, Handler handler, RouteOptions options) {
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler), std::move(options)});
}

std::string Router::allowed(std::string_view path) const {
  std::string out;
  std::vector<TextPair> unused;
  for (const Route& route : routes_) {
    if (!matches(route.pattern, path, unused)) continue;
    out += route.method + ", ";
    if (route.method == "GET") out += "HEAD, ";
  }
  return out.empty() ? out : out + "OPTIONS";
}

const Route* Router::find(Request& request, Response& refusal) const {
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (const Route& route : routes_) {
    if (route.method == method && matches(route.pattern, request.path, request.parameters)) return &route;
  }
  request.parameters.clear();
  const std::string methods = allowed(request.path);
  if (methods.empty()) {
    std::vector<std::string> paths;
    for (const Route& route : routes_) paths.push_back(route.pattern);
    refusal =
        refuse(404, request.path, "there is nothing here", base::nearest_name_hint(request.path, paths));
    return nullptr;
  }
  if (request.method == "OPTIONS") {
    refusal = {};
    refusal.status = 204;
  } else {
    refusal = refuse(405, request.path, request.method + " is not for this path", "It takes " + methods);
  }
  refusal.headers.emplace_back("Allow", methods);
  return nullptr;
}

bool Gate::has_token(const Request& request) const {
  const std::string_view given = request.header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (lower_case(given.substr(0, kScheme.size())) != kScheme) return false;
  return tokens_.holds(base::trim(given.substr(kScheme.size())));
}

// A page of another site in a browser on this machine must not write to, or read from, a store that listens
// without a token.
std::optional<Response> Gate::strange_caller(const Request& request) const {
  const std::string_view host = request.header("host"), origin = request.header("origin");
  if (local_names_ && !host.empty() && !is_local_name(host_of(host)))
    return refuse(403, "Host", "'" + std::string(host) + "' is no name of this machine's loopback",
                  "Use 127.0.0.1 or localhost");
  // A browser sends no Origin with a plain GET, as an image is fetched.
  if (request.header("sec-fetch-site") == "cross-site")
    return refuse(403, "Sec-Fetch-Site", "pages of other sites may not ask here");
  if (!origin.empty() && authority_of(origin) != host)
    return refuse(403, "Origin", "pages of '" + std::string(origin) + "' may not ask here");
  return std::nullopt;
}

const Route* Gate::admit(Request& request, std::optional<std::uint64_t> body_bytes, Response& refusal) const {
  if (auto strange = strange_caller(request)) return refusal = std::move(*strange), nullptr;
  const Route* route = router_.find(request, refusal);
  const bool open = route != nullptr ? route->options.open : request.method == "OPTIONS";
  if (!open && !tokens_.empty() && !has_token(request)) {
    refusal = refuse(401, "Authorization", "a bearer token of this server is needed",
                     "Send: Authorization: Bearer TOKEN");
    refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
    return nullptr;
  }
  if (route == nullptr) return nullptr;
  const RouteOptions& options = route->options;
  const std::size_t limit = options.types.empty() ? 0 : options.body_bytes;
  if (body_bytes.value_or(0) > limit) {
    refusal = refuse(413, "body", "it has more than " + std::to_string(limit) + " bytes",
                     "Send it in smaller parts");
    return nullptr;
  }
  const std::string type = request.media_type();
  if (options.types.empty() ||
      std::find(options.types.begin(), options.types.end(), type) != options.types.end())
    return route;
  std::string known;
  for (const auto& t : options.types) known += (known.empty() ? "" : ", ") + t;
  refusal = refuse(415, "Content-Type", type.empty() ? "it is missing" : "'" + type + "' is not taken here",
                   "Send " + known);
  return nullptr;
}

Response Gate::answer(const Route& route, Request& request) const {
  try {
    if (auto refused = unpack(request, route.options.body_bytes)) return std::move(*refused);
    return route.handler(request);
  } catch (const std::bad_alloc&) {
    return error_response(503, base::io_error(kWhat, "memory", "there is not enough of it"));
  } catch (const std::exception& e) {
    return error_response(500, {base::ErrorKind::kDefect, kWhat, request.path, e.what(), "Please report it"});
  }
}

}  // namespace perjoule::api
