// The process's standard streams. A result that could not be written is an error, never a success.
// Thread rule: call from main's thread.
#pragma once

#include <string_view>

#include "base/result.hpp"

namespace perjoule::app {

// Makes sure that descriptors 0 to 2 are taken, so that no file of a store can become standard output, and
// that a reader who goes away is an error of write() and not the end of the process.
void guard_standard_streams();

// The whole text to standard output. kIo with the reason; an empty `why` when the reader went away, which is
// no news to whoever closed the pipe.
base::Status write_result(std::string_view text);

}  // namespace perjoule::app
