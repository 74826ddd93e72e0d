#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>

#include "backends/intake/toml_include.hpp"
#include "base/text.hpp"

namespace perjoule::app {
namespace {

constexpr const char* kSettings = "read the settings";

std::vector<CLI::App*> below(CLI::App& app) {
  return app.get_subcommands([](CLI::App*) { return true; });
}
std::vector<const CLI::App*> below(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

std::string path_of(const CLI::App& app) {
  const CLI::App* above = app.get_parent();
  return above == nullptr ? "perjoule" : path_of(*above) + " " + app.get_name();
}

std::string footer_of(const CommandText& text) {
  std::string out = *text.about == '\0' ? "" : std::string(text.about) + "\n\n";
  out += "Examples:\n";
  for (const char* example : text.examples) out += std::string("  ") + example + "\n";
  return out;
}

// "--store DIR", with what is taken otherwise behind the description.
class Help final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    return is_flag(*option) ? "" : " " + option->get_type_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string otherwise = option->get_default_str();
    return option->get_description() +
           (otherwise.empty() || is_flag(*option) ? "" : " (default: " + otherwise + ")");
  }
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    return is_positional ? "" : CLI::Formatter::make_option_name(option, false);
  }
  std::string make_option_usage(const CLI::Option* option) const override {
    return option->get_required() ? option->get_type_name() : "[" + option->get_type_name() + "]";
  }
};

// A TOML value as it would be typed; empty optional: a kind that no option takes.
std::optional<std::string> typed(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* real = node.as_floating_point()) return base::shortest_text(real->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto* list = node.as_array()) {
    std::string out;
    for (const auto& item : *list) {
      const auto part = typed(item);
      if (!part || item.is_array()) return std::nullopt;
      out += (out.empty() ? "" : ",") + *part;
    }
    return out;
  }
  return std::nullopt;
}

std::string key_of(const CLI::Option& option) {
  if (option.get_lnames().empty()) return "";
  std::string key = option.get_lnames().front();
  std::replace(key.begin(), key.end(), '-', '_');
  return key == "help" || key == "version" || key == "config" ? "" : key;
}

// One settings file on its way into the tree.
class Settings {
 public:
  explicit Settings(std::string path) : path_(std::move(path)) {}

  // `app` and, for a top-level key, every command below it.
  base::Status take(const toml::table& table, CLI::App& app, bool everywhere) const {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const auto commands = below(app);
      const auto sub =
          std::find_if(commands.begin(), commands.end(), [&](auto* c) { return c->get_name() == name; });
      if (sub != commands.end() && node.is_table()) {
        PJ_TRY(take(*node.as_table(), **sub, false));
        continue;
      }
      bool known = false;
      PJ_TRY(set(name, node, app, everywhere, known));
      if (!known) return unknown(key, app, everywhere);
    }
    return base::ok_status();
  }

 private:
  std::string place(const toml::source_region& at) const {
    return path_ + ":" + std::to_string(at.begin.line) + ":" + std::to_string(at.begin.column);
  }

  base::Status set(const std::string& name, const toml::node& node, CLI::App& app, bool everywhere,
                   bool& known) const {
    for (CLI::Option* option : app.get_options()) {
      if (key_of(*option) != name || is_flag(*option) != node.is_boolean()) continue;
      known = true;
      const auto value = typed(node);
      if (!value)
        return base::bad_input(kSettings, place(node.source()),
                               "'" + name + "' must be text, a number, true or false");
      if (option->count() != 0) continue;  // what was typed stands
      try {
        option->run_callback_for_default()->default_val(*value);
      } catch (const CLI::Error& e) {
        return base::bad_input(kSettings, place(node.source()), "'" + name + "': " + e.what(),
                               "Type: " + path_of(app) + " --help");
      }
    }
    if (!everywhere) return base::ok_status();
    for (CLI::App* sub : below(app)) PJ_TRY(set(name, node, *sub, true, known));
    return base::ok_status();
  }

  static void collect(const CLI::App& app, bool everywhere, std::vector<std::string>& names) {
    for (const CLI::Option* option : app.get_options()) {
      const std::string key = key_of(*option);
      if (!key.empty() && std::find(names.begin(), names.end(), key) == names.end()) names.push_back(key);
    }
    for (const CLI::App* sub : below(app)) {
      names.push_back(sub->get_name());
      if (everywhere) collect(*sub, true, names);
    }
  }

  base::Status unknown(const toml::key& key, const CLI::App& app, bool everywhere) const {
    std::vector<std::string> names;
    collect(app, everywhere, names);
    const std::string name(key.str());
    const bool there = std::find(names.begin(), names.end(), name) != names.end();
    return base::bad_input(kSettings, place(key.source()),
                           there ? "'" + name + "' does not take such a value" : "unknown key '" + name + "'",
                           there ? "Flags take true or false, commands a [section], options text or a number"
                                 : base::nearest_name_hint(name, names));
  }

  std::string path_;
};

}  // namespace

CommandLine::CommandLine() : app_(std::make_unique<CLI::App>()) {
  static const CommandText kRoot{
      "perjoule",
      "every joule of an AI data centre: who used it, and what would save it",
      "",
      {"perjoule demo", "perjoule explain request r38", "perjoule audit perjoule-store"}};
  app_->description("perjoule: " + std::string(kRoot.title));
  app_->name("perjoule");
  app_->formatter(std::make_shared<Help>());
  app_->get_formatter()->column_width(28);
  app_->get_formatter()->label("Positionals", "Arguments");
  app_->get_formatter()->label("SUBCOMMAND", "COMMAND");
  app_->set_help_flag("-h,--help", "this help");
  app_->set_version_flag("--version", std::string("perjoule ") + PERJOULE_VERSION, "the version");
  file(app_->add_option("--config", common_.config, "settings: defaults of the options below, in TOML"));
  app_->add_flag("--quiet", common_.quiet, "no progress");
  app_->add_flag("--verbose", common_.verbose, "say on stderr what is read and how long it took");
  app_->require_subcommand(0, 1);
  app_->fallthrough();
  std::string statuses = "Exit status:";
  for (const Fact& s : kExitStatuses)
    statuses += "\n  " + std::string(s.name) + std::string(5 - s.name.size(), ' ') + std::string(s.text);
  app_->footer(footer_of(kRoot) + "\n" + statuses);
  texts_.emplace(app_.get(), kRoot);
}

CommandLine::~CommandLine() = default;

CLI::App& CommandLine::add(CLI::App& parent, const CommandText& text) {
  CLI::App* command = parent.add_subcommand(text.name, text.title);
  command->group("Commands");
  command->footer(footer_of(text) +
                  "\nCommon options: --config FILE, --quiet, --verbose. Type: perjoule --help");
  texts_.emplace(command, text);
  return *command;
}

void CommandLine::on_chosen(CLI::App& command, Runner run) {
  command.callback([this, run = std::move(run)] { runner_ = run; });
}

void CommandLine::file(CLI::Option* option, const char* placeholder) {
  option->type_name(placeholder);
  values_[option] = {Values::Kind::kFile, {}};
}
void CommandLine::folder(CLI::Option* option) {
  option->type_name("DIR");
  values_[option] = {Values::Kind::kFolder, {}};
}
void CommandLine::known_words(CLI::Option* option, const char* placeholder, std::vector<std::string> words) {
  option->type_name(placeholder);
  values_[option] = {Values::Kind::kWords, std::move(words)};
}
void CommandLine::words(CLI::Option* option, const char* placeholder, std::vector<std::string> words) {
  option->check(CLI::Validator(
      [words](const std::string& value) {
        if (std::find(words.begin(), words.end(), value) != words.end()) return std::string();
        return "there is no '" + value + "'. " + base::nearest_name_hint(value, words);
      },
      ""));
  known_words(option, placeholder, std::move(words));
}
void CommandLine::word_list(CLI::Option* option, const char* placeholder, std::vector<std::string> words) {
  option->type_name(placeholder);
  values_[option] = {Values::Kind::kWordList, std::move(words)};
}
void CommandLine::count(CLI::Option* option) {
  option->type_name("N")->check(CLI::Validator(
      [](const std::string& value) {
        std::uint64_t number = 0;
        const char* end = value.data() + value.size();
        const auto [stopped, error] = std::from_chars(value.data(), end, number);
        const bool digits = error == std::errc() && stopped == end;
        return digits ? std::string() : "'" + value + "' is no whole number from 0 to 2^64 - 1";
      },
      ""));
}
void CommandLine::sql(CLI::Option* option, std::vector<std::string> tables) {
  option->type_name("SQL");
  values_[option] = {Values::Kind::kSql, std::move(tables)};
}

void CommandLine::note(const std::string& text) const {
  if (common_.verbose && !common_.quiet) std::fprintf(stderr, "perjoule: %s\n", text.c_str());
}

OptionPage CommandLine::page_of(const CLI::Option& option) const {
  OptionPage page;
  page.name = option.get_single_name();
  page.placeholder = is_flag(option) ? "" : option.get_type_name();
  page.text = option.get_description();
  page.otherwise = is_flag(option) ? "" : option.get_default_str();
  page.required = option.get_required();
  if (const auto found = values_.find(&option); found != values_.end()) page.values = found->second;
  return page;
}

CommandPage CommandLine::page_of(const CLI::App& app, const std::string& above) const {
  const CommandText& text = texts_.at(&app);
  CommandPage page;
  page.name = text.name;
  page.path = above.empty() ? page.name : above + " " + page.name;
  page.title = text.title;
  page.about = text.about;
  page.examples.assign(text.examples.begin(), text.examples.end());
  for (const CLI::Option* option : app.get_options())
    (option->get_positional() ? page.arguments : page.options).push_back(page_of(*option));
  for (const CLI::App* sub : below(app)) page.commands.push_back(page_of(*sub, page.path));
  return page;
}

CommandPage CommandLine::page() const { return page_of(*app_, ""); }

const CLI::App& CommandLine::deepest() const {
  const CLI::App* app = app_.get();
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return *app;
}

// What CLI11 found wrong, as one of our errors: where, why, and the nearest name.
base::Error CommandLine::mistake(const CLI::ParseError& error) const {
  constexpr const char* kWhat = "read the command line";
  const CLI::App& command = deepest();
  const std::string path = path_of(command), help = "Type: " + path + " --help";
  std::vector<std::string> extras = app_->remaining(true);
  std::erase(extras, "--");
  const auto option =
      std::find_if(extras.begin(), extras.end(), [](const auto& e) { return e.starts_with("-"); });
  if (option == extras.end() && extras.empty()) return base::bad_input(kWhat, path, error.what(), help);
  std::vector<std::string> names;
  const auto with_hint = [&](const std::string& wrong, const std::string& why) {
    std::string hint = names.empty() ? help : base::nearest_name_hint(wrong, names) + " " + help;
    return base::bad_input(kWhat, path, why, std::move(hint));
  };
  // Options after an unknown command are that command's: the command is the mistake.
  if (option != extras.end() && (command.get_parent() != nullptr || option == extras.begin())) {
    for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* o : app->get_options())
        if (!o->get_lnames().empty()) names.push_back("--" + o->get_lnames().front());
    }
    const std::string wrong = option->substr(0, option->find('='));
    return with_hint(wrong, "there is no option '" + wrong + "'");
  }
  for (const CLI::App* sub : below(command)) names.push_back(sub->get_name());
  if (names.empty()) return with_hint(extras.front(), "'" + extras.front() + "' is one argument too many");
  return with_hint(extras.front(), "there is no command '" + extras.front() + "'");
}

base::Status CommandLine::apply_settings(const std::string& text, const std::string& path) {
  if (const std::size_t line = base::line_with_deep_key(text); line != 0)
    return base::bad_input(kSettings, path + ":" + std::to_string(line) + ":1", base::kDeepKey);
  toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    const auto& at = parsed.error().source().begin;
    return base::bad_input(kSettings, path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
                           std::string(parsed.error().description()), "Write: key = value, one a line");
  }
  return Settings(path).take(parsed.table(), *app_, true);
}

base::Result<Answer> CommandLine::run(base::Env& env, int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::Success& e) {  // help and version
    std::ostringstream out;
    app_->exit(e, out, out);
    return Answer{out.str()};
  } catch (const CLI::ParseError& e) {
    return mistake(e);
  }
  if (!common_.config.empty()) {
    constexpr std::uint64_t kLargest = 1U << 20;
    PJ_ASSIGN(const auto text, env.read_file(common_.config, kLargest));
    PJ_TRY(apply_settings(text, common_.config));
    note("settings of " + common_.config);
  }
  if (!runner_) return Answer{app_->help()};
  return runner_();
}

}  // namespace perjoule::app
