// Manual pages in the man macros (man(7)).
#include "command_page.hpp"

namespace perjoule::app {
namespace {

// Text of a line: hyphens as typed, backslashes as themselves, no line taken for a request.
std::string roff(std::string_view text) {
  std::string out;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) out = "\\&";
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else if (c == '`')
      out += "\\(ga";
    else if (c == '^')
      out += "\\(ha";
    else if (c == '~')
      out += "\\(ti";
    else
      out += c;
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string sentence(std::string text) {
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

std::string option_text(const OptionPage& option, bool is_argument) {
  std::string out = ".TP\n";
  if (is_argument) {
    out += "\\fI" + roff(option.placeholder) + "\\fR\n";
  } else {
    out += "\\fB\\-\\-" + roff(option.name) + "\\fR";
    out += option.placeholder.empty() ? "\n" : " \\fI" + roff(option.placeholder) + "\\fR\n";
  }
  out += roff(sentence(option.text));
  if (!option.otherwise.empty()) out += " Default: " + roff(option.otherwise) + ".";
  out += "\n";
  const bool listed =
      option.values.kind == Values::Kind::kWords || option.values.kind == Values::Kind::kWordList;
  constexpr std::size_t kMostListed = 40;  // the signal catalogue has a command of its own
  if (!listed || option.values.words.empty() || option.values.words.size() > kMostListed) return out;
  out += "Known:";
  for (std::size_t i = 0; i < option.values.words.size(); ++i)
    out += (i == 0 ? " " : ", ") + roff(option.values.words[i]);
  return out + ".\n";
}

std::string synopsis(const CommandPage& page) {
  std::string out = ".SH SYNOPSIS\n\\fB" + roff(page.path) + "\\fR";
  if (!page.options.empty()) out += " [\\fIOPTIONS\\fR]";
  for (const OptionPage& argument : page.arguments) {
    const std::string name = "\\fI" + roff(argument.placeholder) + "\\fR";
    out += argument.required ? " " + name : " [" + name + "]";
  }
  if (!page.commands.empty()) out += " \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]";
  return out + "\n";
}

std::string description(const CommandPage& page) {
  std::string title = page.title;
  if (!title.empty() && title.front() >= 'a' && title.front() <= 'z')
    title.front() = static_cast<char>(title.front() - 'a' + 'A');
  std::string out = ".SH DESCRIPTION\n" + roff(sentence(title)) + "\n";
  if (!page.about.empty()) out += ".PP\n" + roff(page.about) + "\n";
  if (page.commands.empty()) return out;
  out += ".SH COMMANDS\n";
  for (const CommandPage& sub : page.commands)
    out += ".TP\n\\fB" + roff(sub.name) + "\\fR\n" + roff(sentence(sub.title)) + " See \\fB" +
           roff(manual_name(sub)) + "\\fR(1).\n";
  return out;
}

std::string options(const CommandPage& root, const CommandPage& page) {
  std::string out = ".SH OPTIONS\n";
  for (const OptionPage& argument : page.arguments) out += option_text(argument, true);
  for (const OptionPage& option : page.options) out += option_text(option, false);
  if (&page == &root) return out;
  out += ".SS Common options\n";
  for (const OptionPage& option : root.options) {
    if (option.name != "help" && option.name != "version") out += option_text(option, false);
  }
  return out;
}

template <std::size_t N>
std::string facts(const char* heading, const std::array<Fact, N>& list) {
  std::string out = std::string(".SH ") + heading + "\n";
  for (const Fact& f : list)
    out += ".TP\n\\fB" + roff(f.name) + "\\fR\n" + roff(sentence(std::string(f.text))) + "\n";
  return out;
}

std::string examples(const CommandPage& page) {
  std::string out = ".SH EXAMPLES\n";
  for (const std::string& example : page.examples)
    out += ".PP\n.nf\n.RS 4\n" + roff(example) + "\n.RE\n.fi\n";
  return out;
}

std::string see_also(const CommandPage& root, const CommandPage& page) {
  std::string out = ".SH SEE ALSO\n";
  std::string separator;
  for (const CommandPage* other : all_pages(root)) {
    if (other == &page) continue;
    out += separator + ".BR " + roff(manual_name(*other)) + " (1)";
    separator = ",\n";
  }
  return out + "\n";
}

}  // namespace

std::string manual_page(const CommandPage& root, const CommandPage& page, const std::string& version) {
  const std::string name = manual_name(page);
  return ".TH " + upper(roff(name)) + " 1 \"\" \"" + roff(version) + "\" \"User Commands\"\n.SH NAME\n" +
         roff(name) + " \\- " + roff(page.title) + "\n" + synopsis(page) + description(page) +
         options(root, page) + facts("EXIT STATUS", kExitStatuses) + examples(page) + facts("FILES", kFiles) +
         facts("ENVIRONMENT", kEnvironment) + see_also(root, page);
}

}  // namespace perjoule::app
