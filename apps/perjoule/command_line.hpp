// The declared commands and what was typed: CLI11 behind a small face, so that help, completion, manual
// pages, the settings file and the hints of errors all come from one tree. Thread rule: one thread.
// Ownership: owns the tree; CLI::App and CLI::Option pointers live as long as it.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "command_page.hpp"
#include "commands.hpp"

namespace CLI {
class App;
class Option;
class ParseError;
}  // namespace CLI

namespace perjoule::app {

struct Common {
  std::string config;  // settings file; empty: none
  bool quiet = false, verbose = false;
};

struct CommandText {
  const char* name;
  const char* title;
  const char* about;  // may be empty
  std::array<const char*, 3> examples;
};

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;
  ~CommandLine();

  CLI::App& root() { return *app_; }
  CLI::App& add(CLI::App& parent, const CommandText& text);
  void on_chosen(CLI::App& command, Runner run);

  // What an option's value is: its placeholder in help and what the shell completes. words() also refuses any
  // other value; word_list() leaves that to whoever reads the list.
  void file(CLI::Option* option, const char* placeholder = "FILE");
  void folder(CLI::Option* option);
  void words(CLI::Option* option, const char* placeholder, std::vector<std::string> words);
  void known_words(CLI::Option* option, const char* placeholder,
                   std::vector<std::string> words);  // no refusal
  void word_list(CLI::Option* option, const char* placeholder, std::vector<std::string> words);
  void count(CLI::Option* option);  // a whole number, not negative: CLI11 takes -1 for the largest one
  void sql(CLI::Option* option, std::vector<std::string> tables);

  const Common& common() const { return common_; }
  // A line on stderr under --verbose.
  void note(const std::string& text) const;
  CommandPage page() const;

  // Reads the arguments and the settings file, runs the chosen command.
  base::Result<Answer> run(base::Env& env, int argc, char** argv);
  // Puts the settings of a TOML text in place of defaults: `key` for every command with that option,
  // [command] for one. Errors at path:line:column.
  base::Status apply_settings(const std::string& text, const std::string& path);

 private:
  base::Error mistake(const CLI::ParseError& error) const;
  const CLI::App& deepest() const;
  CommandPage page_of(const CLI::App& app, const std::string& above) const;
  OptionPage page_of(const CLI::Option& option) const;

  std::unique_ptr<CLI::App> app_;
  Common common_;
  Runner runner_;
  std::map<const CLI::Option*, Values> values_;
  std::map<const CLI::App*, CommandText> texts_;
};

}  // namespace perjoule::app
