#include "device/restore_journal.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace perjoule::device {
namespace {

constexpr std::string_view kHeader = "perjoule-restore\t1\n";

std::string to_line(const JournalEntry& e) {
  return e.actuator + "\t" + e.control + "\t" + e.device + "\t" + base::shortest_text(e.value) + "\n";
}

bool has_separator(const JournalEntry& e) {
  return (e.actuator + e.control + e.device).find_first_of("\t\n") != std::string::npos;
}

}  // namespace

base::Result<FileJournal> FileJournal::open(base::Env& env, std::string path) {
  FileJournal journal(env, std::move(path));
  if (!env.exists(journal.path_)) return journal;
  PJ_ASSIGN(const std::string text, env.read_file(journal.path_));
  const auto refuse = [&](std::size_t line, const char* why) {
    return base::corrupt("read the list of controls to restore", journal.path_ + ":" + std::to_string(line),
                         why, "Restore the controls by hand, then remove the file");
  };
  if (!text.starts_with(kHeader)) return refuse(1, "it is not a restore list of this version");
  if (text.back() != '\n') return refuse(1, "its last line is cut short");
  const auto lines = base::split(std::string_view(text).substr(0, text.size() - 1), '\n');
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto fields = base::split(lines[i], '\t');
    const auto value = fields.size() == 4 ? base::parse_double(fields[3]) : std::nullopt;
    if (!value) return refuse(i + 1, "needs actuator, control, device and a number");
    journal.entries_.push_back(
        {std::string(fields[0]), std::string(fields[1]), std::string(fields[2]), *value});
  }
  return journal;
}

base::Status FileJournal::store(std::vector<JournalEntry> entries) {
  std::string text(kHeader);
  for (const auto& e : entries) text += to_line(e);
  PJ_TRY(base::write_atomically(*env_, path_, text));
  entries_ = std::move(entries);
  return base::ok_status();
}

base::Status FileJournal::record(const JournalEntry& entry) {
  if (has_separator(entry)) {
    return base::bad_input("note a control to restore", path_, "a name holds a tab or a line end");
  }
  const auto same = [&](const JournalEntry& e) { return e.same_control(entry); };
  if (std::any_of(entries_.begin(), entries_.end(), same)) return base::ok_status();
  auto entries = entries_;
  entries.push_back(entry);
  return store(std::move(entries));
}

base::Status FileJournal::clear(const JournalEntry& entry) {
  auto entries = entries_;
  if (std::erase_if(entries, [&](const JournalEntry& e) { return e.same_control(entry); }) == 0) {
    return base::ok_status();
  }
  return store(std::move(entries));
}

}  // namespace perjoule::device
