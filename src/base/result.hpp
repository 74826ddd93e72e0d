// Result<T>: a value or an Error, for everything where failure is normal (files, input, permission, absent
// devices). An Error always answers four questions: what went wrong, where, why, and what to type to mend it.
// Thread rule: values. Ownership: owns its strings. A dropped Result is a compile error.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/assert.hpp"

namespace perjoule::base {

// What kind of failure; the command line maps it to an exit status (contract: 1, 2, 3, 4).
enum class ErrorKind {
  kAnswerIsNo,  // an audit, gate or check failed                     -> exit 1
  kBadInput,    // command line, scenario, trace, config is wrong      -> exit 2
  kMissing,     // file, device, permission or library is not there    -> exit 3
  kIo,          // the operating system refused (disk full, EIO, ...)  -> exit 3
  kCorrupt,     // a stored file does not match its checksum or form   -> exit 1
  kDefect,      // perjoule itself is wrong                            -> exit 4
};

struct Error {
  ErrorKind kind = ErrorKind::kDefect;
  std::string what;   // one clause: what could not be done
  std::string where;  // file:line:column, file:byte, key, or device; may be empty
  std::string why;    // the cause as found
  std::string hint;   // what to type or change; may be empty

  // "what: where: why. Hint: ..." on one line.
  std::string message() const;
  // Same error seen from further up: `outer` becomes the what, the old what moves into the why.
  Error within(std::string outer) const;
};

int exit_status(ErrorKind kind);

inline Error bad_input(std::string what, std::string where, std::string why, std::string hint = {}) {
  return {ErrorKind::kBadInput, std::move(what), std::move(where), std::move(why), std::move(hint)};
}
inline Error missing(std::string what, std::string where, std::string why, std::string hint = {}) {
  return {ErrorKind::kMissing, std::move(what), std::move(where), std::move(why), std::move(hint)};
}
inline Error io_error(std::string what, std::string where, std::string why, std::string hint = {}) {
  return {ErrorKind::kIo, std::move(what), std::move(where), std::move(why), std::move(hint)};
}
inline Error corrupt(std::string what, std::string where, std::string why, std::string hint = {}) {
  return {ErrorKind::kCorrupt, std::move(what), std::move(where), std::move(why), std::move(hint)};
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const T& value() const& { return PJ_CHECK(ok()), std::get<0>(state_); }
  T& value() & { return PJ_CHECK(ok()), std::get<0>(state_); }
  T&& value() && { return PJ_CHECK(ok()), std::get<0>(std::move(state_)); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }
  const Error& error() const& { return PJ_CHECK(!ok()), std::get<1>(state_); }
  Error&& error() && { return PJ_CHECK(!ok()), std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

struct Done {};
using Status = Result<Done>;
inline Status ok_status() { return Done{}; }

}  // namespace perjoule::base

// Return the error of `expr` from this function, or go on.
#define PJ_TRY(expr)                                                                      \
  do {                                                                                    \
    if (auto pj_status_ = (expr); !pj_status_.ok()) return std::move(pj_status_).error(); \
  } while (false)

#define PJ_CONCAT_INNER(a, b) a##b
#define PJ_CONCAT(a, b) PJ_CONCAT_INNER(a, b)
// PJ_ASSIGN(auto x, call()); -- x gets the value, or this function returns the error.
#define PJ_ASSIGN(decl, expr)                                                                           \
  auto PJ_CONCAT(pj_result_, __LINE__) = (expr);                                                        \
  if (!PJ_CONCAT(pj_result_, __LINE__).ok()) return std::move(PJ_CONCAT(pj_result_, __LINE__)).error(); \
  decl = std::move(PJ_CONCAT(pj_result_, __LINE__)).value()
