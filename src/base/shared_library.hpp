// A library opened at run time, and its functions by name. It stays open until the process ends, since
// libraries keep threads of their own. Thread rule: one thread. Ownership: functions that were found may
// outlive the object.
#pragma once

#include <string>

namespace perjoule::base {

class SharedLibrary {
 public:
  explicit SharedLibrary(const std::string& path);
  bool is_open() const { return handle_ != nullptr; }
  // Why it is not open, in the system's words.
  const std::string& why() const { return why_; }
  // The function of this name, or nullptr; its name is then among the absent ones.
  template <class F>
  void find(const char* name, F& function) {
    function = reinterpret_cast<F>(symbol(name));
  }
  // Names that were not found, with commas; empty: all were.
  const std::string& absent() const { return absent_; }

 private:
  void* symbol(const char* name);

  void* handle_ = nullptr;
  std::string why_, absent_;
};

}  // namespace perjoule::base
