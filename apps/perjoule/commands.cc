#include "commands.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace perjoule::app {

int fail(const base::Error& error) {
  std::fprintf(stderr, "perjoule: %s\n", error.message().c_str());
  return base::exit_status(error.kind);
}

void add_commands(CLI::App& app, Runner& runner) {
  add_simulation_commands(app, runner);
  add_store_commands(app, runner);
  add_tool_commands(app, runner);
}

}  // namespace perjoule::app
