#include "wire/event_stream.hpp"

#include <algorithm>

namespace perjoule::wire {

EventStream::EventStream(Client& client, bus::Table table, base::SymbolTable& symbols,
                         const base::Clock& clock, StreamOptions options)
    : client_(client),
      table_(table),
      clock_(clock),
      linger_(options.linger),
      builder_(table, symbols, std::clamp<std::size_t>(options.block_rows, 1, bus::kMaxBlockRows)) {}

base::Status EventStream::poll() {
  if (builder_.rows() == 0 || clock_.now() - oldest_ < linger_) return base::ok_status();
  return cut();
}

base::Status EventStream::cut() {
  if (builder_.rows() == 0) return base::ok_status();
  bus::Batch rows = builder_.take();
  base::Status sent = client_.send(table_, rows);
  builder_.give_back(std::move(rows));
  return sent;
}

}  // namespace perjoule::wire
