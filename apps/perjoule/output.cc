#include "output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace perjoule::app {

void guard_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1) continue;
    // The lowest free number is this one. Output to a closed stdout must fail, so it is opened for reading.
    (void)::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
  std::signal(SIGPIPE, SIG_IGN);
}

base::Status write_result(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return base::io_error("write the result", "standard output", "");
    if (n < 0) {
      return base::io_error("write the result", "standard output", std::strerror(errno),
                            "Send it to a file or terminal that can be written");
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return base::ok_status();
}

}  // namespace perjoule::app
