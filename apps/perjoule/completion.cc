// Completion scripts: a fixed driver per shell, and the commands as its data.
#include "base/assert.hpp"
#include "command_page.hpp"

namespace perjoule::app {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string names_of(const std::vector<CommandPage>& commands) {
  std::string out;
  for (const CommandPage& c : commands) out += (out.empty() ? "" : " ") + c.name;
  return out;
}

// In single quotes; `escaped` is what the shell wants for a quote within.
std::string quoted(std::string_view text, std::string_view escaped) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += escaped;
    else
      out += c;
  }
  return out + "'";
}
std::string posix_quoted(std::string_view text) { return quoted(text, "'\\''"); }

const char* kind_name(Values::Kind kind) {
  switch (kind) {
    case Values::Kind::kText:
      return "text";
    case Values::Kind::kFile:
      return "file";
    case Values::Kind::kFolder:
      return "folder";
    case Values::Kind::kWords:
      return "words";
    case Values::Kind::kWordList:
      return "list";
    case Values::Kind::kSql:
      return "sql";
  }
  return "text";
}

// ---- bash
// -------------------------------------------------------------------------------------------------------

// What the driver asks: the commands and options after a path, and the kind of an option's or argument's
// value.
constexpr const char* kBashDriver = R"BASH(
# _perjoule_complete KIND WORDS PREFIX: fills COMPREPLY for the value $cur; PREFIX stands before each.
_perjoule_complete() {
  local before=$3 part=$cur
  case $1 in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$part") ;;
    folder) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$part") ;;
    words) mapfile -t COMPREPLY < <(compgen -W "$2" -- "$part") ;;
    list)
      compopt -o nospace 2>/dev/null
      if [[ $part == *,* ]]; then before+=${part%,*},; part=${part##*,}; fi
      mapfile -t COMPREPLY < <(compgen -W "$2" -- "$part") ;;
    sql)
      part=${part#[\'\"]}
      compopt -o nospace 2>/dev/null
      if [[ $part == *[\ ,\(]* ]]; then before+=${part%"${part##*[ ,(]}"}; part=${part##*[ ,(]}; fi
      [[ ! $part ]] || mapfile -t COMPREPLY < <(compgen -W "$2" -- "$part") ;;
  esac
  [[ ! $before ]] || COMPREPLY=("${COMPREPLY[@]/#/$before}")
}

_perjoule() {
  local words=() cur path=perjoule subs opts kind values pending= position=0 i w
  COMPREPLY=()
  # "=" breaks words in bash; here they are whole again.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    w=${COMP_WORDS[i]}
    if ((${#words[@]} > 1)) && [[ $w == = || ${words[-1]} == *= ]]; then words[-1]+=$w; else words+=("$w"); fi
  done
  cur=${words[-1]}
  for ((i = 1; i < ${#words[@]} - 1; i++)); do
    w=${words[i]}
    if [[ $pending ]]; then pending=; continue; fi
    case $w in
      --*=*) ;;
      -*) if _perjoule_value "$path $w" || _perjoule_value "perjoule $w"; then pending=$w; fi ;;
      *)
        _perjoule_command "$path"
        if [[ " $subs " == *" $w "* ]]; then path+=" $w"; else ((position += 1)); fi ;;
    esac
  done
  _perjoule_command "$path"
  if [[ $pending ]]; then
    _perjoule_complete "$kind" "$values" ''
  elif [[ $cur == --*=* ]]; then
    w=${cur%%=*}
    cur=${cur#*=}
    if _perjoule_value "$path $w" || _perjoule_value "perjoule $w"; then _perjoule_complete "$kind" "$values" "$w="; fi
    cur=$w=$cur
  elif [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$opts" -- "$cur")
  elif [[ $subs ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$subs" -- "$cur")
  elif _perjoule_value "$path $((position + 1))"; then
    _perjoule_complete "$kind" "$values" ''
  fi
  # What bash took for earlier words is not given back to it.
  if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then COMPREPLY=("${COMPREPLY[@]#"${cur%=*}="}"); fi
}
complete -F _perjoule perjoule
)BASH";

std::string bash_value(const std::string& key, const Values& values) {
  return "    " + posix_quoted(key) + ") kind=" + kind_name(values.kind) +
         " values=" + posix_quoted(joined(values.words)) + " ;;\n";
}

std::string bash_script(const CommandPage& root) {
  std::string commands, values;
  for (const CommandPage* page : all_pages(root)) {
    std::string options;
    for (const OptionPage& o : page->options) options += "--" + o.name + " ";
    if (page != &root) options += "--config --quiet --verbose";
    commands += "    " + posix_quoted(page->path) + ") subs=" + posix_quoted(names_of(page->commands)) +
                " opts=" + posix_quoted(options) + " ;;\n";
    for (const OptionPage& o : page->options) {
      if (!o.placeholder.empty()) values += bash_value(page->path + " --" + o.name, o.values);
    }
    for (std::size_t i = 0; i < page->arguments.size(); ++i)
      values += bash_value(page->path + " " + std::to_string(i + 1), page->arguments[i].values);
  }
  return "# bash completion for perjoule, as printed by: perjoule completion bash\n\n"
         "_perjoule_command() {\n  subs= opts=\n  case $1 in\n" +
         commands +
         "  esac\n}\n\n"
         "_perjoule_value() {\n  case $1 in\n" +
         values + "    *) kind= values=; return 1 ;;\n  esac\n}\n" + kBashDriver;
}

// ---- zsh
// --------------------------------------------------------------------------------------------------------

// Text within a spec of _arguments.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const Values& values) {
  switch (values.kind) {
    case Values::Kind::kFile:
      return "_files";
    case Values::Kind::kFolder:
      return "_files -/";
    case Values::Kind::kWords:
      return "(" + joined(values.words) + ")";
    case Values::Kind::kWordList:
      return "_sequence compadd - " + joined(values.words);
    case Values::Kind::kText:
    case Values::Kind::kSql:
      return " ";
  }
  return " ";
}

std::string zsh_option(const OptionPage& o) {
  const std::string value =
      o.placeholder.empty() ? "" : ":" + zsh_text(o.placeholder) + ":" + zsh_action(o.values);
  return " \\\n    " + posix_quoted("--" + o.name + "[" + zsh_text(o.text) + "]" + value);
}

std::string zsh_function(const CommandPage& root, const CommandPage& page) {
  std::string name = "_" + manual_name(page);
  std::string out =
      name + "() {\n  local context state state_descr line\n  typeset -A opt_args\n  _arguments -C";
  for (const OptionPage& o : page.options) out += zsh_option(o);
  if (&page != &root) {
    for (const OptionPage& o : root.options) {
      if (o.name != "help" && o.name != "version") out += zsh_option(o);
    }
  }
  for (std::size_t i = 0; i < page.arguments.size(); ++i) {
    const OptionPage& a = page.arguments[i];
    out += " \\\n    " +
           posix_quoted(std::to_string(i + 1) + ":" + zsh_text(a.placeholder) + ":" + zsh_action(a.values));
  }
  if (page.commands.empty()) return out + "\n}\n\n";
  out +=
      " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n    command)\n      local "
      "-a commands=(\n";
  for (const CommandPage& c : page.commands) out += "        " + posix_quoted(c.name + ":" + c.title) + "\n";
  out += "      )\n      _describe command commands ;;\n    argument)\n      case $line[1] in\n";
  for (const CommandPage& c : page.commands) out += "        " + c.name + ") _" + manual_name(c) + " ;;\n";
  return out + "      esac ;;\n  esac\n}\n\n";
}

std::string zsh_script(const CommandPage& root) {
  std::string out =
      "#compdef perjoule\n# zsh completion for perjoule, as printed by: perjoule completion zsh\n\n";
  for (const CommandPage* page : all_pages(root)) out += zsh_function(root, *page);
  return out +
         "if [ \"$funcstack[1]\" = _perjoule ]; then _perjoule \"$@\"; else compdef _perjoule perjoule; fi\n";
}

// ---- fish
// -------------------------------------------------------------------------------------------------------

// __perjoule_at PATH: the command typed so far is PATH; a second argument is the number of the argument to
// come.
constexpr const char* kFishDriver = R"FISH(
function __perjoule_at
    set -l path perjoule
    set -l position 1
    set -l pending 0
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test $pending = 1
            set pending 0
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__perjoule_valued; or contains -- "perjoule $word" $__perjoule_valued; and set pending 1
        else if contains -- "$path $word" $__perjoule_commands
            set path "$path $word"
        else
            set position (math $position + 1)
        end
    end
    test "$path" = "$argv[1]"; and begin
        test (count $argv) = 1; or test $position = $argv[2]
    end
end

complete -c perjoule -f
)FISH";

std::string fish_quoted(std::string_view text) { return quoted(text, "\\'"); }

std::string fish_action(const Values& values) {
  switch (values.kind) {
    case Values::Kind::kFile:
      return " -r -F";
    case Values::Kind::kFolder:
      return " -x -a " + fish_quoted("(__fish_complete_directories)");
    case Values::Kind::kWords:
      return " -x -a " + fish_quoted(joined(values.words));
    case Values::Kind::kWordList:
      return " -x -a " +
             fish_quoted("(__fish_complete_list , 'string split \" \" \"" + joined(values.words) + "\"')");
    case Values::Kind::kText:
    case Values::Kind::kSql:
      return " -x";
  }
  return "";
}

std::string fish_at(const std::string& path, const std::string& more = "") {
  return "complete -c perjoule -n " + fish_quoted("__perjoule_at \"" + path + "\"" + more);
}

std::string fish_page(const CommandPage& page) {
  std::string out;
  for (const CommandPage& c : page.commands)
    out += fish_at(page.path, " 1") + " -a " + c.name + " -d " + fish_quoted(c.title) + "\n";
  for (const OptionPage& o : page.options) {
    const std::string value = o.placeholder.empty() ? "" : fish_action(o.values);
    out += fish_at(page.path) + " -l " + o.name + value + " -d " + fish_quoted(o.text) + "\n";
  }
  for (std::size_t i = 0; i < page.arguments.size(); ++i) {
    const Values& values = page.arguments[i].values;
    std::string action = fish_action(values);
    if (values.kind == Values::Kind::kFile) action = " -F";
    out += fish_at(page.path, " " + std::to_string(i + 1)) + action + "\n";
  }
  return out;
}

std::string fish_script(const CommandPage& root) {
  std::string commands, valued, pages;
  for (const CommandPage* page : all_pages(root)) {
    if (page != &root) commands += " " + fish_quoted(page->path);
    for (const OptionPage& o : page->options) {
      if (!o.placeholder.empty()) valued += " " + fish_quoted(page->path + " --" + o.name);
    }
    pages += fish_page(*page);
  }
  for (const OptionPage& o : root.options) {
    if (o.name == "help" || o.name == "version") continue;
    const std::string value = o.placeholder.empty() ? "" : fish_action(o.values);
    pages += "complete -c perjoule -n 'not __perjoule_at perjoule' -l " + o.name + value + " -d " +
             fish_quoted(o.text) + "\n";
  }
  return "# fish completion for perjoule, as printed by: perjoule completion fish\n\nset -g "
         "__perjoule_commands" +
         commands + "\nset -g __perjoule_valued" + valued + "\n" + kFishDriver + pages;
}

}  // namespace

std::string completion_script(const CommandPage& root, const std::string& shell) {
  if (shell == "bash") return bash_script(root);
  if (shell == "zsh") return zsh_script(root);
  PJ_CHECK(shell == "fish");
  return fish_script(root);
}

}  // namespace perjoule::app
