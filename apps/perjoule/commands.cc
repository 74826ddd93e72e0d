#include "commands.hpp"

namespace perjoule::app {

void add_commands(CommandLine& line) {
  add_simulation_commands(line);
  add_store_commands(line);
  add_store_tool_commands(line);
  add_tool_commands(line);
  add_serve_command(line);
  add_help_commands(line);
}

}  // namespace perjoule::app
