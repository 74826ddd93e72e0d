// One HTTP request and its answer, as plain values: what the server's sockets and the handlers share. Errors
// are JSON, {"error": {"what", "where", "why", "hint"}}, the four questions of base::Error. Thread rule:
// values. Ownership: owns its texts. Units: bytes.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace perjoule::api {

using TextPair = std::pair<std::string, std::string>;

struct Request {
  std::string method, path;          // path: as it came, without the query
  std::vector<TextPair> query;       // decoded, in order
  std::vector<TextPair> headers;     // names in lower case, in order
  std::vector<TextPair> parameters;  // what the route's pattern took out of the path, decoded
  std::string body;                  // unpacked
  std::string client;                // the caller's address; empty where there is no socket
  std::stop_token abandoned;         // stopped when the client left, or the server is about to

  // The first of that name; empty if there is none.
  std::string_view header(std::string_view name) const;
  std::string_view parameter(std::string_view name) const;
  // nullopt: not given.
  std::optional<std::string> query_value(std::string_view name) const;
  // Content-Type without its parameters, in lower case.
  std::string media_type() const;
  // The first of `offered` that the Accept header names; the first one where it names none of them or
  // anything.
  std::string_view accepted(const std::vector<std::string_view>& offered) const;
};

struct Response {
  // Puts the next piece into its argument; false: that was all (the argument is then not used). Called from
  // a worker thread, one call after the other.
  using More = std::function<bool(std::string&)>;

  unsigned status = 200;
  std::string type = "application/json";
  std::string body = {};
  std::vector<TextPair> headers = {};
  More more = {};  // set: the body comes in pieces (chunked), `body` first
};

// 400, 404, 500, 503 ... for the kind of an error.
unsigned status_of(const base::Error& error);
Response error_response(unsigned status, const base::Error& error);
inline Response error_response(const base::Error& error) { return error_response(status_of(error), error); }
std::string_view reason_phrase(unsigned status);

// "%2F" -> "/"; nullopt for a % without two digits, or a NUL. `plus`: + is a blank, as in a query.
std::optional<std::string> percent_decoded(std::string_view text, bool plus = false);
// Splits "path?a=1&b=2"; false for what cannot be decoded, a path without a leading '/', and more than 64
// parameters.
bool read_target(std::string_view target, Request& request);
std::string lower_case(std::string_view text);

}  // namespace perjoule::api
