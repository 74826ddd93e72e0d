// completion, man: what is generated from the declared commands.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/env.hpp"
#include "base/text.hpp"
#include "command_line.hpp"

namespace perjoule::app {
namespace {

constexpr const char* kVersion = "perjoule " PERJOULE_VERSION;

struct ManArgs {
  std::vector<std::string> command;
  std::string all;
};

// What stands after "man": "config-check".
std::vector<std::string> command_words(const CommandPage& root) {
  std::vector<std::string> words;
  for (const CommandPage* page : all_pages(root)) {
    if (page != &root) words.push_back(manual_name(*page).substr(root.name.size() + 1));
  }
  return words;
}

base::Result<Answer> write_all(const CommandPage& root, const std::string& folder) {
  base::Env& env = base::posix_env();
  PJ_TRY(env.create_directories(folder));
  Answer answer;
  for (const CommandPage* page : all_pages(root)) {
    const std::string path = folder + "/" + manual_name(*page) + ".1";
    PJ_TRY(base::write_atomically(env, path, manual_page(root, *page, kVersion)));
    answer.text += "written to " + path + "\n";
  }
  return answer;
}

base::Result<Answer> manual(const CommandLine& line, const ManArgs& args) {
  const CommandPage root = line.page();
  if (!args.all.empty()) return write_all(root, args.all);
  const CommandPage* page = find_page(root, args.command);
  if (page != nullptr) return Answer{manual_page(root, *page, kVersion)};
  std::string wrong;
  for (const auto& word : args.command) wrong += (wrong.empty() ? "" : "-") + word;
  return base::bad_input("print a manual page", "'" + wrong + "'", "there is no such command",
                         base::nearest_name_hint(wrong, command_words(root)));
}

}  // namespace

void add_help_commands(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  CLI::App& completion = line.add(
      line.root(),
      {"completion",
       "a script that completes commands, options and values in your shell",
       "bash: source the script, or put it into /usr/share/bash-completion/completions/perjoule. zsh: put it "
       "as _perjoule into a folder of $fpath. fish: put it into ~/.config/fish/completions/perjoule.fish.",
       {"source <(perjoule completion bash)", "perjoule completion zsh > ~/.zfunc/_perjoule",
        "perjoule completion fish > ~/.config/fish/completions/perjoule.fish"}});
  line.words(completion.add_option("shell", *shell, "bash, zsh or fish")->required(), "SHELL",
             {"bash", "zsh", "fish"});
  line.on_chosen(completion, [&line, shell] { return Answer{completion_script(line.page(), *shell)}; });

  auto args = std::make_shared<ManArgs>();
  CLI::App& man =
      line.add(line.root(), {"man",
                             "manual pages, as roff",
                             "",
                             {"perjoule man simulate | man -l -", "perjoule man config check | man -l -",
                              "perjoule man --all ~/.local/share/man/man1"}});
  CLI::Option* command = man.add_option("command", args->command, "which command; none: perjoule itself");
  line.folder(man.add_option("--all", args->all, "write every page into this folder")->excludes(command));
  line.on_chosen(man, [&line, args] { return manual(line, *args); });
  // Last, so that the list holds every command.
  line.known_words(command, "COMMAND", {});
  line.known_words(command, "COMMAND", command_words(line.page()));
}

}  // namespace perjoule::app
