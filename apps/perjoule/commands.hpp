// The subcommands. Each add_* declares its arguments and, when chosen, sets the runner.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"

namespace CLI {
class App;
}

namespace perjoule::app {

using Runner = std::function<int()>;

void add_commands(CLI::App& app, Runner& runner);
void add_simulation_commands(CLI::App& app, Runner& runner);  // demo, simulate, config
void add_store_commands(CLI::App& app, Runner& runner);       // top, query, explain, report, audit
void add_tool_commands(CLI::App& app, Runner& runner);  // signals, calibrate, import, doctor, completion, man

// "perjoule: what: where: why. hint" on stderr; the exit status of its kind.
int fail(const base::Error& error);

}  // namespace perjoule::app
