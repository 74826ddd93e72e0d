#include "plant/serving_replica.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace perjoule::plant {

using base::TimePoint;

ServingReplica::ServingReplica(const StepCostModel& costs, ServingLimits limits,
                               std::vector<RestLevel> levels, TimePoint start)
    : costs_(&costs),
      limits_(limits),
      levels_(std::move(levels)),
      now_(start),
      level_seconds_(levels_.size()) {
  PJ_CHECK(!levels_.empty() && limits_.batch_limit >= 1);
  piece_start_ = start;
  begin_rest();
}

void ServingReplica::set_governor(IdleGovernor* governor) {
  governor_ = governor;
  if (piece_ != Piece::kRest) return;
  next_look_ = governor_ != nullptr ? governor_->idle_began(now_) : base::kNever;
  set_piece(Piece::kRest, {});
}

void ServingReplica::look_at(TimePoint t) {
  PJ_CHECK(governor_ != nullptr);
  if (piece_ != Piece::kRest) return;
  next_look_ = std::max(t, now_);
  set_piece(Piece::kRest, {});
}

bool ServingReplica::offer(const ServingRequest& request) {
  PJ_DCHECK(pending_.empty() || pending_.back().arrival <= request.arrival);
  if (static_cast<double>(request.input_tokens + request.output_tokens) > costs_->kv_capacity_tokens())
    return false;
  pending_.push_back(request);
  return true;
}

void ServingReplica::advance(TimePoint t) {
  while (now_ < t) {
    const bool idle = piece_ == Piece::kRest;
    if (idle && work_waiting()) {
      end_piece();
      continue;
    }
    TimePoint next = std::min(piece_end_, t);
    // The first arrival not yet seen may end a rest or shorten a run of decode steps.
    const bool room = static_cast<std::int64_t>(active_.size()) < limits_.batch_limit;
    const bool interruptible = idle || (piece_ == Piece::kDecode && room);
    const TimePoint arrival = pending_.empty() ? base::kNever : pending_.front().arrival;
    if (interruptible && arrival > now_ && arrival < next) next = arrival;
    accrue(next);
    if (interruptible && !idle && now_ == arrival && now_ < piece_end_) cut_decode(now_);
    if (now_ == piece_end_) end_piece();
  }
}

// Energy and shares from now_ to `to`, within the running piece.
void ServingReplica::accrue(TimePoint to) {
  const double dt = base::to_seconds(to - now_).value();
  const double joules = power_w_ * dt;
  now_ = to;
  if (piece_ == Piece::kRest || piece_ == Piece::kWake) {
    idle_joules_ += joules;
    level_seconds_[level_] += dt;
    return;
  }
  busy_joules_ += joules;
  busy_seconds_ += dt;
  if (piece_ == Piece::kDecode) {
    decode_share_ += joules / static_cast<double>(active_.size());
    return;
  }
  for (const std::uint32_t s : prefilling_) {
    slots_[s].prefill_joules +=
        joules * static_cast<double>(slots_[s].request.input_tokens) / prefill_tokens_;
  }
}

void ServingReplica::end_piece() {
  switch (piece_) {
    case Piece::kRest:
      if (work_waiting()) {
        if (governor_ != nullptr) governor_->idle_ended(now_);
        return begin_wake();
      }
      next_look_ = governor_->look(now_);
      PJ_DCHECK(next_look_ > now_);
      // It may have asked for a wake.
      return piece_ == Piece::kRest ? set_piece(Piece::kRest, {}) : void();
    case Piece::kWake:
      level_ = 0;
      return begin_piece();
    case Piece::kPrefill:
      end_prefill();
      return begin_piece();
    case Piece::kDecode:
      end_decode();
      return begin_piece();
  }
}

void ServingReplica::begin_piece() {
  const auto fits = [&](const ServingRequest& r) {
    return static_cast<std::int64_t>(active_.size()) < limits_.batch_limit &&
           kv_reserved_ + static_cast<double>(r.input_tokens + r.output_tokens) <=
               costs_->kv_capacity_tokens();
  };
  if (work_waiting() && (active_.empty() || fits(pending_.front()))) return begin_prefill();
  if (!active_.empty()) return begin_decode();
  begin_rest();
}

void ServingReplica::set_piece(Piece kind, PieceCost cost) {
  if (kind != Piece::kRest) ++pieces_;
  piece_ = kind;
  piece_start_ = now_;
  if (kind == Piece::kRest) {
    power_w_ = levels_[level_].gpu_power.value();
    piece_end_ = next_look_;
    return;
  }
  const base::Duration d = base::to_duration(base::Seconds(cost.seconds));
  piece_end_ = now_ + base::Duration{std::max<std::int64_t>(d.ns, 1)};
  piece_seconds_ = cost.seconds;
  power_w_ = cost.gpu_joules / base::to_seconds(piece_end_ - now_).value();
}

bool ServingReplica::request_rest(std::size_t level) {
  PJ_CHECK(level < levels_.size());
  if (!may_rest()) return level == 0;
  requested_level_ = level;
  // A wake that is under way runs to its end; then the requested level is entered.
  if (piece_ != Piece::kRest || level == level_) return true;
  if (level < level_) {
    if (governor_ != nullptr) governor_->idle_ended(now_);
    begin_wake();
  } else {
    level_ = level;
    set_piece(Piece::kRest, {});
  }
  return true;
}

void ServingReplica::begin_rest() {
  level_ = requested_level_;
  next_look_ = governor_ != nullptr ? governor_->idle_began(now_) : base::kNever;
  set_piece(Piece::kRest, {});
}

void ServingReplica::begin_wake() {
  if (level_ == 0) return begin_piece();
  ++wakes_;
  const RestLevel& level = levels_[level_];
  const double seconds = base::to_seconds(level.wake).value();
  set_piece(Piece::kWake, {seconds, level.gpu_power.value() * seconds + level.wake_gpu_energy.value()});
}

std::uint32_t ServingReplica::take_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t s = free_slots_.back();
  free_slots_.pop_back();
  return s;
}

void ServingReplica::begin_prefill() {
  requested_level_ = 0;
  prefilling_.clear();
  prefill_tokens_ = 0.0;
  std::int64_t budget = limits_.prefill_budget_tokens;
  while (work_waiting()) {
    const ServingRequest& r = pending_.front();
    const double reserve = static_cast<double>(r.input_tokens + r.output_tokens);
    const auto held = static_cast<std::int64_t>(active_.size() + prefilling_.size());
    if (!prefilling_.empty() && budget < r.input_tokens) break;
    if (held >= limits_.batch_limit) break;
    if (held > 0 && kv_reserved_ + reserve > costs_->kv_capacity_tokens()) break;
    budget -= r.input_tokens;
    const std::uint32_t s = take_slot();
    slots_[s] = {r, {}, 0.0, 0.0};
    prefilling_.push_back(s);
    prefill_tokens_ += static_cast<double>(r.input_tokens);
    kv_reserved_ += reserve;
    pending_.pop_front();
  }
  set_piece(Piece::kPrefill, costs_->prefill(prefill_tokens_, static_cast<double>(prefilling_.size())));
}

void ServingReplica::end_prefill() {
  for (const std::uint32_t s : prefilling_) {
    Slot& slot = slots_[s];
    slot.first_token = now_;
    slot.decode_mark = decode_share_;
    kv_tokens_ += static_cast<double>(slot.request.input_tokens + 1);
    ++tokens_out_;
    active_.push_back({step_count_ + slot.request.output_tokens - 1, s});
    std::push_heap(active_.begin(), active_.end());
  }
  prefilling_.clear();
  while (!active_.empty() && active_.front().finish_step <= step_count_) finish(active_.front().slot);
}

void ServingReplica::begin_decode() {
  piece_steps_ = active_.front().finish_step - step_count_;
  set_piece(Piece::kDecode,
            costs_->decode_run(static_cast<double>(active_.size()), kv_tokens_, piece_steps_));
}

void ServingReplica::cut_decode(TimePoint t) {
  const double batch = static_cast<double>(active_.size());
  const double elapsed = base::to_seconds(t - piece_start_).value();
  auto steps =
      static_cast<std::int64_t>(std::ceil(static_cast<double>(piece_steps_) * elapsed / piece_seconds_));
  steps = std::clamp<std::int64_t>(steps, 1, piece_steps_);
  // Step time grows slowly with the KV cache, so the guess is at most a few steps off.
  PieceCost cost = costs_->decode_run(batch, kv_tokens_, steps);
  while (cost.seconds < elapsed && steps < piece_steps_)
    cost = costs_->decode_run(batch, kv_tokens_, ++steps);
  while (steps > 1) {
    const PieceCost shorter = costs_->decode_run(batch, kv_tokens_, steps - 1);
    if (shorter.seconds < elapsed) break;
    cost = shorter;
    --steps;
  }
  piece_steps_ = steps;
  const auto end = piece_start_ + base::to_duration(base::Seconds(cost.seconds));
  piece_end_ = std::max(end, t);
}

void ServingReplica::end_decode() {
  step_count_ += piece_steps_;
  const double grown = static_cast<double>(active_.size()) * static_cast<double>(piece_steps_);
  kv_tokens_ += grown;
  tokens_out_ += static_cast<std::int64_t>(grown);
  while (!active_.empty() && active_.front().finish_step <= step_count_) finish(active_.front().slot);
}

void ServingReplica::finish(std::uint32_t s) {
  std::pop_heap(active_.begin(), active_.end());
  active_.pop_back();
  Slot& slot = slots_[s];
  const double tokens = static_cast<double>(slot.request.input_tokens + slot.request.output_tokens);
  kv_tokens_ -= tokens;
  kv_reserved_ -= tokens;
  uses_.push_back({slot.request.id, slot.prefill_joules, decode_share_ - slot.decode_mark});
  finished_.push_back({slot.request, slot.first_token, now_});
  free_slots_.push_back(s);
}

std::span<const RequestUse> ServingReplica::take_uses() {
  taken_.swap(uses_);
  uses_.clear();
  const auto take = [&](Slot& slot, bool decoding) {
    const double decode = decoding ? decode_share_ - slot.decode_mark : 0.0;
    if (slot.prefill_joules > 0.0 || decode > 0.0)
      taken_.push_back({slot.request.id, slot.prefill_joules, decode});
    slot.prefill_joules = 0.0;
    slot.decode_mark = decode_share_;
  };
  for (const Active& a : active_) take(slots_[a.slot], true);
  for (const std::uint32_t s : prefilling_) take(slots_[s], false);
  return taken_;
}

}  // namespace perjoule::plant
