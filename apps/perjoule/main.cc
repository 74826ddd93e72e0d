// The one command: parses arguments, calls the house, prints. Results on stdout, everything else on stderr;
// exit statuses are those of kExitStatuses in command_page.hpp.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "base/env.hpp"
#include "command_line.hpp"
#include "output.hpp"

namespace {

using namespace perjoule;

// What came from outside must not steer the terminal it is shown on.
std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool control = (c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == 0x7f;
    if (!control)
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
  }
  return out;
}

// "perjoule: what: where: why. hint" on stderr; the exit status of its kind.
int fail(const base::Error& error) {
  if (!error.why.empty()) std::fprintf(stderr, "perjoule: %s\n", shown(error.message()).c_str());
  return base::exit_status(error.kind);
}

int run(int argc, char** argv) {
  app::CommandLine line;
  app::add_commands(line);
  const auto answer = line.run(base::posix_env(), argc, argv);
  if (!answer.ok()) return fail(answer.error());
  if (const auto written = app::write_result(answer->text); !written.ok()) return fail(written.error());
  if (!answer->remark.empty()) std::fprintf(stderr, "perjoule: %s\n", answer->remark.c_str());
  return answer->status;
}

}  // namespace

int main(int argc, char** argv) {
  app::guard_standard_streams();
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    return fail(
        base::missing("run", "memory", "there is not enough of it", "Ask for less, or use a larger machine"));
  } catch (const std::exception& e) {
    return fail({base::ErrorKind::kDefect, "run", "", e.what(), "Please report what you typed"});
  }
}
