#include "wire/send_queue.hpp"

#include <algorithm>
#include <utility>

#include "wire/numbering.hpp"

namespace perjoule::wire {

SendQueue::SendQueue(std::uint64_t memory_bytes, WhenFull when_full, std::optional<Spool> spool)
    : memory_limit_(memory_bytes), when_full_(when_full), spool_(std::move(spool)) {
  if (!spool_) return;
  session_ = spool_->session();
  for (const SpooledBlock& b : spool_->found()) {
    Entry entry;
    entry.session = b.session;
    entry.first = b.first;
    entry.last = b.last;
    entry.base = spool_->base_of(b.session);
    entry.on_disk = true;
    entries_.push_back(std::move(entry));
  }
}

// ---- taking blocks ----

bool SendQueue::spool(Entry& entry) {
  if (!spool_ || !spool_->has_room(entry.bytes)) return false;
  if (auto written = spool_->write(entry.file(), *entry.block); !written.ok()) {
    stats_.spool_fault = written.error().message();
    return false;
  }
  entry.on_disk = true;
  ++stats_.spooled_blocks;
  return true;
}

// True when the new block has a place.
bool SendQueue::keep(Entry& entry) {
  const bool fits =
      memory_bytes_ + entry.bytes <= memory_limit_ || (memory_bytes_ == 0 && memory_limit_ != 0);
  if (spool_ && (!connected_ || !fits) && spool(entry)) {
    entry.block.reset();
    return true;
  }
  if (!fits) return false;
  memory_bytes_ += entry.bytes;
  return true;
}

void SendQueue::drop(std::uint64_t blocks, std::uint64_t numbers) {
  stats_.dropped_blocks += blocks;
  stats_.dropped_numbers += numbers;
}

bool SendQueue::drop_oldest() {
  if (next_ >= entries_.size()) return false;
  Entry& oldest = entries_[next_];
  drop(1, oldest.last - oldest.first + 1);
  if (oldest.on_disk) spool_->remove(oldest.file());
  forget_block(oldest);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(next_));
  return true;
}

SendQueue::Put SendQueue::put(std::string& block, std::uint64_t numbers) {
  Entry entry;
  entry.session = session_;
  entry.first = given_ + 1;
  entry.last = given_ + numbers;
  entry.base = base_;
  entry.bytes = block.size();
  entry.block = std::make_shared<std::string>(std::move(block));
  bool kept = keep(entry);
  while (!kept && when_full_ == WhenFull::kDropOldest && drop_oldest()) kept = keep(entry);
  if (!kept && when_full_ == WhenFull::kWait) {
    block = std::move(*entry.block);
    return Put::kFull;
  }
  given_ = entry.last;
  if (kept) {
    entries_.push_back(std::move(entry));
    return Put::kTaken;
  }
  drop(1, numbers);
  // The numbers are gone with the rows, also after a restart. Without room even for that the count is lost.
  if (spool_) {
    if (auto noted = spool_->note_last(session_, given_); !noted.ok())
      stats_.spool_fault = noted.error().message();
  }
  return Put::kDropped;
}

// ---- connections ----

// The last number that is stored or given away by anything before this session.
std::uint64_t SendQueue::last_known(std::uint64_t stored_through) const {
  std::uint64_t last = stored_through;
  for (std::uint64_t s = 1; spool_ && s < session_; ++s) {
    if (const auto base = spool_->base_of(s)) last = std::max(last, *base + spool_->last_of(s));
  }
  for (const Entry& e : entries_) {
    if (e.base) last = std::max(last, *e.base + e.last);
  }
  return last;
}

base::Status SendQueue::connected(const Welcome& welcome) {
  limits_ = welcome;
  stats_.stored_through = chain_ = welcome.stored_through;
  // Sessions that never met a server get their numbers now, in order; this one is the last of them.
  for (std::size_t i = 0; spool_ && i < entries_.size(); ++i) {
    Entry& e = entries_[i];
    if (e.base || e.session == session_) continue;
    if (!spool_->base_of(e.session)) PJ_TRY(spool_->set_base(e.session, last_known(welcome.stored_through)));
    e.base = spool_->base_of(e.session);
  }
  if (!base_) {
    const std::uint64_t base = last_known(welcome.stored_through);
    if (spool_) PJ_TRY(spool_->set_base(session_, base));
    base_ = base;
    for (Entry& e : entries_) {
      if (!e.base) e.base = base;
    }
  }
  if (spool_) spool_->forget_before(entries_.empty() ? session_ : entries_.front().session);
  connected_ = true;
  rewinding_ = waiting_ = short_of_room_ = probing_ = false;
  next_ = 0;
  return base::ok_status();
}

void SendQueue::disconnected() {
  connected_ = false;
  next_ = 0;
  in_flight_ = in_flight_bytes_ = 0;
  for (Entry& e : entries_) {
    e.id = 0;
    if (e.block == nullptr || !spool_) continue;
    if (e.on_disk || spool(e)) forget_block(e);
  }
}

void SendQueue::forget_block(Entry& entry) {
  if (entry.block == nullptr) return;
  memory_bytes_ -= entry.bytes;
  entry.block.reset();
}

void SendQueue::end(std::size_t place, bus::Outcome outcome, std::string why) {
  Entry& e = entries_[place];
  ++(outcome == bus::Outcome::kRefused ? stats_.refused_blocks : stats_.stored_blocks);
  answers_.push_back({*e.base + e.first, *e.base + e.last, outcome, std::move(why)});
  if (e.on_disk) spool_->remove(e.file());
  forget_block(e);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(place));
  if (place < next_) --next_;
}

// The oldest block that is not in flight gets its bytes and its place in the chain. False: it was none to
// send.
bool SendQueue::make_ready(Entry& entry) {
  const std::uint64_t first = *entry.base + entry.first, last = *entry.base + entry.last;
  if (last <= chain_) return end(next_, bus::Outcome::kAlreadyStored, {}), false;
  if (first <= chain_) {
    end(next_, bus::Outcome::kRefused, "some of its numbers are stored already, as those of another block");
    return false;
  }
  if (entry.block == nullptr) {
    auto bytes = spool_->read(entry.file());
    if (!bytes.ok()) return end(next_, bus::Outcome::kRefused, bytes.error().message()), false;
    entry.bytes = bytes->size();
    entry.block = std::make_shared<std::string>(std::move(*bytes));
    memory_bytes_ += entry.bytes;
  }
  if (entry.bytes > limits_.max_block_bytes) {
    end(next_, bus::Outcome::kRefused,
        "the server takes blocks of at most " + std::to_string(limits_.max_block_bytes) + " bytes");
    return false;
  }
  set_numbers(*entry.block, {chain_, first, last});
  return true;
}

std::optional<SendQueue::Outgoing> SendQueue::next() {
  if (!connected_ || rewinding_ || waiting_ || in_flight_ >= limits_.max_blocks) return std::nullopt;
  if (probing_ && in_flight_ != 0) return std::nullopt;
  while (next_ < entries_.size()) {
    Entry& e = entries_[next_];
    if (in_flight_ != 0 && in_flight_bytes_ + e.bytes > limits_.max_bytes) return std::nullopt;
    if (!make_ready(e)) continue;
    chain_ = *e.base + e.last;
    e.id = ++last_id_;
    ++stats_.sent_blocks;
    if (std::exchange(e.was_sent, true)) ++stats_.resent_blocks;
    ++in_flight_;
    in_flight_bytes_ += e.bytes;
    ++next_;
    return Outgoing{e.id, e.block};
  }
  return std::nullopt;
}

void SendQueue::rewind() {
  rewinding_ = false;
  next_ = 0;
  chain_ = stats_.stored_through;
}

SendQueue::Then SendQueue::receipt(std::uint64_t id, const bus::Receipt& receipt) {
  const auto sent_end = entries_.begin() + static_cast<std::ptrdiff_t>(next_);
  const auto found = std::find_if(entries_.begin(), sent_end, [&](const Entry& e) { return e.id == id; });
  if (found == sent_end) return Then::kGoOn;
  const auto place = static_cast<std::size_t>(found - entries_.begin());
  --in_flight_;
  in_flight_bytes_ -= found->bytes;
  found->id = 0;
  stats_.stored_through = std::max(stats_.stored_through, receipt.stored_through);
  switch (receipt.outcome) {
    case bus::Outcome::kStored:
    case bus::Outcome::kAlreadyStored:
      probing_ = false;
      end(place, receipt.outcome, {});
      break;
    case bus::Outcome::kBusy:
    case bus::Outcome::kNoSpace:
      ++stats_.busy_answers;
      rewinding_ = short_of_room_ = true;
      break;
    case bus::Outcome::kRefused:
      // Behind a block that was not taken every other is refused; the oldest is refused for its own sake.
      if (place == 0 && !rewinding_) end(0, bus::Outcome::kRefused, receipt.why);
      rewinding_ = true;
      break;
    case bus::Outcome::kStopped:
      return Then::kReconnect;
  }
  if (!rewinding_ || in_flight_ != 0) return Then::kGoOn;
  rewind();
  waiting_ = probing_ = std::exchange(short_of_room_, false);
  return waiting_ ? Then::kWait : Then::kGoOn;
}

QueueStats SendQueue::stats() const {
  QueueStats out = stats_;
  out.waiting_blocks = entries_.size();
  out.memory_bytes = memory_bytes_;
  out.spool_bytes = spool_ ? spool_->bytes() : 0;
  return out;
}

}  // namespace perjoule::wire
