// One writer at a time: a lock file that the kernel frees when its holder dies, so a crash never leaves a
// store locked. Goes past base::Env on purpose: a lock is a claim on the machine, not file content. Thread
// rule: from any thread. Ownership: the object is the lock; destroyed, it frees it and removes the file.
#pragma once

#include <string>

#include "base/result.hpp"

namespace perjoule::bus {

class StoreLock {
 public:
  // Error: kIo with the holder's process id when another writer has it.
  static base::Result<StoreLock> acquire(const std::string& path);
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&&) = delete;
  ~StoreLock();

 private:
  StoreLock(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

}  // namespace perjoule::bus
