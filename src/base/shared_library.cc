#include "base/shared_library.hpp"

#include <dlfcn.h>

namespace perjoule::base {

SharedLibrary::SharedLibrary(const std::string& path)
    : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ != nullptr) return;
  const char* why = ::dlerror();
  why_ = why != nullptr ? why : path;
}

void* SharedLibrary::symbol(const char* name) {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr) absent_ += (absent_.empty() ? "" : ", ") + std::string(name);
  return found;
}

}  // namespace perjoule::base
