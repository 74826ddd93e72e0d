// Rows of one table on their way to a store: collected, cut into blocks of up to 65,536 rows or when the
// oldest has waited long enough, encoded and given to a Client. Thread rule: one thread, the one that interns
// into the SymbolTable. Ownership: client, symbols and clock must outlive it; rows that were not cut are lost
// with it. Units: rows, nanoseconds of the clock.
#pragma once

#include <cstddef>

#include "base/clock.hpp"
#include "base/symbol.hpp"
#include "bus/tables.hpp"
#include "wire/client.hpp"

namespace perjoule::wire {

struct StreamOptions {
  std::size_t block_rows = bus::kMaxBlockRows;      // at most that
  base::Duration linger = base::milliseconds(200);  // how long a row may wait for others
};

class EventStream {
 public:
  EventStream(Client& client, bus::Table table, base::SymbolTable& symbols, const base::Clock& clock,
              StreamOptions options = {});

  // The row's type must be the table's. Errors: those of Client::send; the rows of that block are gone then.
  template <class Row>
  base::Status append(const Row& row) {
    if (builder_.rows() == 0) oldest_ = clock_.now();
    builder_.append(row);
    return builder_.full() ? cut() : poll();
  }
  // Cuts a block if its oldest row has waited long enough; to be called now and then when no rows come.
  base::Status poll();
  // Cuts what there is.
  base::Status cut();
  std::size_t waiting_rows() const { return builder_.rows(); }

 private:
  Client& client_;
  const bus::Table table_;
  const base::Clock& clock_;
  const base::Duration linger_;
  bus::TableBuilder builder_;
  base::TimePoint oldest_;
};

}  // namespace perjoule::wire
