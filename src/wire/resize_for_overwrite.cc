// Compiled as C++23, for the one call that leaves a string's new bytes as they are.
#include "wire/frame.hpp"

namespace perjoule::wire {

void resize_for_overwrite(std::string& text, std::size_t bytes) {
#if defined(__cpp_lib_string_resize_and_overwrite)
  // libstdc++ 12 hands over the capacity, which may be more.
  text.resize_and_overwrite(bytes, [bytes](char*, std::size_t) { return bytes; });
#else
  text.resize(bytes);
#endif
}

}  // namespace perjoule::wire
