// The subcommands. Each add_* declares its arguments on the command line and what runs when it is chosen.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"

namespace perjoule::app {

class CommandLine;

// What a command hands back: `text` goes to stdout, `remark` to stderr.
struct Answer {
  std::string text;
  int status = 0;
  std::string remark = {};
};
using Runner = std::function<base::Result<Answer>()>;

void add_commands(CommandLine& line);
void add_simulation_commands(CommandLine& line);  // demo, simulate, config
void add_store_commands(CommandLine& line);       // top, query, explain, report, audit
void add_store_tool_commands(CommandLine& line);  // store info, export, repair
void add_tool_commands(CommandLine& line);        // signals, calibrate, import, doctor
void add_serve_command(CommandLine& line);
void add_help_commands(CommandLine& line);  // completion, man

}  // namespace perjoule::app
