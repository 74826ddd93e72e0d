#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace perjoule::base {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "perjoule: defect: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

std::string Error::message() const {
  std::string out = what;
  if (!where.empty()) out += ": " + where;
  if (!why.empty()) out += ": " + why;
  if (!hint.empty()) out += ". " + hint;
  return out;
}

Error Error::within(std::string outer) const {
  return {kind, std::move(outer), where, why.empty() ? what : what + ": " + why, hint};
}

int exit_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kAnswerIsNo:
    case ErrorKind::kCorrupt:
      return 1;
    case ErrorKind::kBadInput:
      return 2;
    case ErrorKind::kMissing:
    case ErrorKind::kIo:
      return 3;
    case ErrorKind::kDefect:
      return 4;
  }
  return 4;
}

}  // namespace perjoule::base
