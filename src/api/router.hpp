// Which handler answers a request, and whether it may: path and method, bearer token, media type, size,
// packing. Everything of the server that needs no socket, so that tests and the fuzzer run it alone.
//   Router::find   (method, path) -> route, or the refusal (404 with the nearest path, 405 with Allow)
//   Gate::admit    what is decided from the head alone, before a byte of the body is read
//   Gate::answer   unpacks the body within the route's limit and calls the handler; never throws
// Thread rule: add() before the first find(); the rest from any thread. Ownership: owns the handlers. Units:
// bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_message.hpp"
#include "wire/door.hpp"

namespace perjoule::api {

using Handler = std::function<Response(const Request&)>;

struct RouteOptions {
  std::size_t body_bytes = 1U << 20;    // packed and unpacked alike
  std::vector<std::string> types = {};  // media types of a body; empty: the route takes none
  bool open = false;                    // answers without a token (health)
};

struct Route {
  std::string method, pattern;
  Handler handler;
  RouteOptions options;
};

class Router {
 public:
  // Pattern: "/api/v1/write/{table}"; "{id...}" as the last part takes the rest of the path.
  void add(std::string method, std::string pattern, Handler handler, RouteOptions options = {});
  // Fills request.parameters. HEAD finds a GET route. Without a route `refusal` is set.
  const Route* find(Request& request, Response& refusal) const;
  std::string allowed(std::string_view path) const;  // "GET, HEAD, OPTIONS"; empty: no such path

 private:
  std::vector<Route> routes_;
};

struct GateOptions {
  std::vector<std::string> tokens;  // empty: no token is asked for
  bool local_names = true;  // the Host header must name this machine's loopback (against DNS rebinding)
};

class Gate {
 public:
  Gate(Router router, const GateOptions& options)
      : router_(std::move(router)), tokens_(options.tokens), local_names_(options.local_names) {}

  // nullptr: `refusal` is the answer. `body_bytes`: what Content-Length says, if it does.
  const Route* admit(Request& request, std::optional<std::uint64_t> body_bytes, Response& refusal) const;
  Response answer(const Route& route, Request& request) const;

 private:
  bool has_token(const Request& request) const;
  std::optional<Response> strange_caller(const Request& request) const;
  Router router_;
  wire::TokenSet tokens_;
  bool local_names_;
};

}  // namespace perjoule::api
