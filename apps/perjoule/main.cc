// The one command: parses arguments, calls the house, prints. Results on stdout, everything else on stderr;
// exit status as the public contract says (0 done, 1 the answer is no, 2 bad input, 3 something is missing, 4
// a defect).
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "commands.hpp"

int main(int argc, char** argv) {
  CLI::App app{"perjoule: every joule of an AI hall, who used it, and what would save it"};
  app.set_version_flag("--version", std::string("perjoule ") + PERJOULE_VERSION);
  app.require_subcommand(0, 1);
  app.footer(
      "Examples:\n  perjoule demo                      a day of a real workload on a calibrated hall\n"
      "  perjoule explain request r17       from one request back to its meters\n"
      "  perjoule audit perjoule-store      every equality and every byte\n"
      "Exit status: 0 done, 1 the answer is no, 2 bad input, 3 something is missing, 4 a defect.");
  perjoule::app::Runner runner;
  perjoule::app::add_commands(app, runner);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "perjoule: %s\nTry 'perjoule --help'.\n", e.what());
    return 2;
  }
  if (!runner) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  }
  return runner();
}
