// What a host's controls were before perjoule touched them, kept where a crash cannot reach it, so that
// `perjoule restore` can put them back from another process.
// Thread rule: one thread per journal. Ownership: FileJournal keeps a reference to its Env.
#pragma once

#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::device {

struct JournalEntry {
  std::string actuator, control, device;
  double value = 0.0;  // before the first write, in the control's unit
  bool same_control(const JournalEntry& o) const {
    return actuator == o.actuator && control == o.control && device == o.device;
  }
};

class RestoreJournal {
 public:
  virtual ~RestoreJournal() = default;
  // Durable when it returns. A control that is already there keeps its first value.
  virtual base::Status record(const JournalEntry& entry) = 0;
  // The control is back at its value: forget it.
  virtual base::Status clear(const JournalEntry& entry) = 0;
};

// One line per control: actuator, control, device, value, separated by tabs; the whole file is replaced
// atomically.
class FileJournal final : public RestoreJournal {
 public:
  // Reads what an earlier process left. Errors: kCorrupt with file:line for a line of another form.
  static base::Result<FileJournal> open(base::Env& env, std::string path);
  base::Status record(const JournalEntry& entry) override;
  base::Status clear(const JournalEntry& entry) override;
  // Oldest first; restore from the back.
  const std::vector<JournalEntry>& entries() const { return entries_; }

 private:
  FileJournal(base::Env& env, std::string path) : env_(&env), path_(std::move(path)) {}
  base::Status store(std::vector<JournalEntry> entries);

  base::Env* env_;
  std::string path_;
  std::vector<JournalEntry> entries_;
};

}  // namespace perjoule::device
