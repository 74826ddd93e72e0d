// What the program's help, completion scripts, manual pages and settings know of a command: one value, drawn
// from the declared commands, so that none of them can say something else. Thread rule: values. Ownership:
// values.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace perjoule::app {

// What may stand as an option's or argument's value, for completion.
struct Values {
  enum class Kind { kText, kFile, kFolder, kWords, kWordList, kSql };  // kWordList: words between commas
  Kind kind = Kind::kText;
  std::vector<std::string> words;  // kSql: the tables
};

struct OptionPage {
  std::string name;         // "store", or "scenario" for an argument
  std::string placeholder;  // "DIR"; empty: a flag
  std::string text;
  std::string otherwise;  // the default; empty: none
  bool required = false;
  Values values;
};

struct CommandPage {
  std::string path;   // "perjoule config check"
  std::string name;   // "check"
  std::string title;  // one line
  std::string about;  // a paragraph; may be empty
  std::vector<OptionPage> arguments, options;
  std::vector<CommandPage> commands;
  std::vector<std::string> examples;  // three
};

struct Fact {
  std::string_view name, text;
};
inline constexpr std::array<Fact, 6> kExitStatuses{{
    {"0", "done"},
    {"1", "the answer is no: an audit, gate or check failed"},
    {"2", "bad command line or bad input file"},
    {"3", "something needed is missing: a file, permission, device, server, room on the disk"},
    {"4", "a defect in perjoule"},
    {"130", "interrupted (SIGINT or SIGTERM); a store that was being written stays readable"},
}};
inline constexpr std::array<Fact, 3> kEnvironment{{
    {"PERJOULE_HOME",
     "folder that holds scenarios/ and data/ of the demo (default: where perjoule was built)"},
    {"PERJOULE_LIBDUCKDB", "the libduckdb.so that 'perjoule query' loads"},
    {"NO_COLOR", "honoured: perjoule prints no colours, set or not"},
}};
inline constexpr std::array<Fact, 3> kFiles{{
    {"perjoule-store", "the default store: STORE/TABLE/part-NNNNNN.parquet, readable by any Parquet reader"},
    {"perjoule-store/catalog/manifest.json",
     "the files that belong to the store, with size and hash of each"},
    {"perjoule-store/catalog/writer.lock", "there while a process writes the store"},
}};

// The page of "config check" (or "config-check", with or without "perjoule" before it); null: no such
// command.
const CommandPage* find_page(const CommandPage& root, const std::vector<std::string>& words);
// The page itself and all below it, top first.
std::vector<const CommandPage*> all_pages(const CommandPage& root);

std::string completion_script(const CommandPage& root, const std::string& shell);  // bash, zsh or fish
// Section 1, in the man macros; `version` stands in its foot.
std::string manual_page(const CommandPage& root, const CommandPage& page, const std::string& version);
std::string manual_name(const CommandPage& page);  // "perjoule-config-check"

}  // namespace perjoule::app
