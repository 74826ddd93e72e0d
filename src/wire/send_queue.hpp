// The blocks that a client has and the server has not acknowledged, in order: which to send next, what an
// answer means, what goes to disk. It does no network I/O and reads no clock, so every case can be played
// through in a test. After "busy" nothing more is sent until all in flight is answered and the wait is over;
// then the oldest block is sent again alone, and the others when it was stored, with the same numbers.
// Thread rule: the caller locks. Ownership: owns its blocks. Units: bytes, sequence numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/engine.hpp"
#include "wire/frame.hpp"
#include "wire/spool.hpp"

namespace perjoule::wire {

// What happens to rows for which there is no room, in memory or in the spool.
enum class WhenFull : std::uint8_t {
  kWait,        // send() waits
  kDropNewest,  // the new rows go
  kDropOldest,  // the oldest that are not in flight go
};

// What became of numbers first..last.
struct Answer {
  std::uint64_t first = 0, last = 0;
  bus::Outcome outcome = bus::Outcome::kStored;  // kStored, kAlreadyStored or kRefused
  std::string why;                               // for kRefused
};

struct QueueStats {
  std::uint64_t waiting_blocks = 0, memory_bytes = 0, spool_bytes = 0;
  std::uint64_t sent_blocks = 0, resent_blocks = 0, stored_blocks = 0, refused_blocks = 0, busy_answers = 0;
  std::uint64_t spooled_blocks = 0;
  std::uint64_t dropped_blocks = 0, dropped_numbers = 0;
  std::uint64_t stored_through = 0;  // as the server last said
  std::string spool_fault;           // why a block could not be spooled, else empty
};

class SendQueue {
 public:
  // Takes over what earlier sessions left in the spool.
  SendQueue(std::uint64_t memory_bytes, WhenFull when_full, std::optional<Spool> spool);

  enum class Put : std::uint8_t { kTaken, kDropped, kFull };
  // `block` as encode_block made it, with any numbers; it gets the next `numbers` of them. kFull, with
  // kWait: nothing has changed, try again when there is room.
  Put put(std::string& block, std::uint64_t numbers);

  // The server's greeting: numbers become known, and sending begins anew. Errors: kIo when the base of a
  // session cannot be kept; nothing may be sent then.
  base::Status connected(const Welcome& welcome);
  // Nothing is in flight any more; with a spool, everything goes there.
  void disconnected();

  struct Outgoing {
    std::uint64_t id = 0;
    std::shared_ptr<const std::string> block;
  };
  // The next block to send, if the server's limits allow one.
  std::optional<Outgoing> next();

  enum class Then : std::uint8_t { kGoOn, kWait, kReconnect };
  // kWait: all in flight is answered, and at least one block was not taken for want of room; call resume()
  // after a while.
  Then receipt(std::uint64_t id, const bus::Receipt& receipt);
  void resume() { waiting_ = false; }

  // Nothing is without an answer, and all answers were taken.
  bool empty() const { return entries_.empty() && answers_.empty(); }
  // Since the last call.
  std::vector<Answer> take_answers() { return std::exchange(answers_, {}); }
  QueueStats stats() const;

 private:
  struct Entry {
    std::uint64_t session = 0;
    std::uint64_t first = 0, last = 0;  // from the session's base
    std::optional<std::uint64_t> base;
    std::uint64_t bytes = 0;
    std::shared_ptr<std::string> block;  // null: on disk alone
    bool on_disk = false;
    std::uint64_t id = 0;  // in flight; 0: not
    bool was_sent = false;

    SpooledBlock file() const { return {session, first, last}; }
  };

  bool keep(Entry& entry);
  bool spool(Entry& entry);
  bool drop_oldest();
  void forget_block(Entry& entry);
  void end(std::size_t place, bus::Outcome outcome, std::string why);
  void drop(std::uint64_t blocks, std::uint64_t numbers);
  void rewind();
  bool make_ready(Entry& entry);
  std::uint64_t last_known(std::uint64_t stored_through) const;

  const std::uint64_t memory_limit_;
  const WhenFull when_full_;
  std::optional<Spool> spool_;
  std::deque<Entry> entries_;
  std::uint64_t session_ = 0;
  std::optional<std::uint64_t> base_;  // of this session
  std::uint64_t given_ = 0;            // last number given, from the base
  bool connected_ = false, rewinding_ = false, waiting_ = false, short_of_room_ = false, probing_ = false;
  Welcome limits_;
  std::uint64_t chain_ = 0;  // the next block follows this number
  std::size_t next_ = 0;     // entries before it are in flight
  std::uint64_t in_flight_ = 0, in_flight_bytes_ = 0, last_id_ = 0;
  std::uint64_t memory_bytes_ = 0;
  std::vector<Answer> answers_;
  QueueStats stats_;
};

}  // namespace perjoule::wire
