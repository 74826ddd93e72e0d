// One replica of an LLM server with continuous batching: a queue, a batch limit, KV memory, prefill before
// decode. Latency, time to first token, tokens/s, watts and joules per request come out of this one
// mechanism; the cost of a step comes from a StepCostModel (docs/models/llm-serving.md).
//
// Scheduling rule: whenever a step ends and requests wait, as many as fit (batch limit, KV memory, prefill
// budget) are prefilled together in one step, which yields their first token; otherwise the batch decodes.
// Runs of decode steps with an unchanged batch are taken in one piece (closed form), so the cost is per
// request, not per token; a test compares this with the step-by-step form. Power is constant within a piece.
//
// Thread rule: one thread per replica; replicas are independent. Ownership: borrows the cost model.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

struct PieceCost {
  double seconds = 0.0;
  double gpu_joules = 0.0;  // per GPU, whole draw while the piece runs
};

// What steps cost on one replica, at its present clock or cap. Implementations are cheap (tens of ns).
class StepCostModel {
 public:
  virtual ~StepCostModel() = default;
  // `steps` decode steps of `batch` sequences whose KV caches hold `kv_tokens` in total at the first step and
  // grow by `batch` each step.
  virtual PieceCost decode_run(double batch, double kv_tokens, std::int64_t steps) const = 0;
  // One step that prefills `sequences` prompts of `prompt_tokens` in all.
  virtual PieceCost prefill(double prompt_tokens, double sequences) const = 0;
  virtual double kv_capacity_tokens() const = 0;
};

struct ServingLimits {
  std::int64_t batch_limit = 256;
  std::int64_t prefill_budget_tokens = 8192;  // per prefill step; a longer prompt goes alone
};

struct ServingRequest {
  std::uint64_t id = 0;
  base::TimePoint arrival;
  std::int64_t input_tokens = 1;
  std::int64_t output_tokens = 1;
};

struct FinishedRequest {
  ServingRequest request;
  base::TimePoint first_token;
  base::TimePoint done;
};

// One request's part of the replica's busy energy in a window, per GPU.
struct RequestUse {
  std::uint64_t id = 0;
  double prefill_joules = 0.0;
  double decode_joules = 0.0;
};

// A resting level of the replica's devices. Level 0 is "ready": idle with a context at full clocks.
struct RestLevel {
  base::Watts gpu_power;
  base::Duration wake;           // from the first byte of work to the first step
  base::Joules wake_gpu_energy;  // above gpu_power x wake
};

// Watches a replica that has nothing to do, at the replica's own time inside advance(). It acts through
// request_rest(), as anyone does.
class IdleGovernor {
 public:
  virtual ~IdleGovernor() = default;
  // Work ended, or a wake without work did. Returns when to look first (kNever: not at all).
  virtual base::TimePoint idle_began(base::TimePoint since) = 0;
  // The time asked for has come and there is still nothing to do. Returns the next time to look, after `now`.
  virtual base::TimePoint look(base::TimePoint now) = 0;
  // Work came, or a wake was asked for.
  virtual void idle_ended(base::TimePoint now) = 0;
};

class ServingReplica {
 public:
  ServingReplica(const StepCostModel& costs, ServingLimits limits, std::vector<RestLevel> levels,
                 base::TimePoint start);

  void set_costs(const StepCostModel& costs) { costs_ = &costs; }  // takes effect at the next piece
  // Told at once if the replica is idle. `governor` outlives the replica, or is taken away with nullptr.
  void set_governor(IdleGovernor* governor);
  // Something the governor knows has changed: if the replica is idle, it is to look at `t` (not before now)
  // instead of the time it had asked for.
  void look_at(base::TimePoint t);
  // Rests at a level: entered at once, left when work comes (the request then lapses). To go to a shallower
  // level costs the wake of the deeper one. False, without effect, for a level above 0 while it works.
  bool request_rest(std::size_t level);
  // True while nothing runs and nothing that has arrived waits.
  bool may_rest() const { return active_.empty() && prefilling_.empty() && !work_waiting(); }
  // The level it rests at; 0 while it works or wakes.
  std::size_t rest_level() const { return piece_ == Piece::kRest ? level_ : 0; }
  bool waking() const { return piece_ == Piece::kWake; }
  std::span<const RestLevel> rest_levels() const { return levels_; }
  // Arrivals in time order, none before the time already advanced to. Returns false if it can never fit in KV
  // memory.
  bool offer(const ServingRequest& request);
  // Runs to `t` exactly; finished requests are appended to finished().
  void advance(base::TimePoint t);

  // Since the last call: each touched request's energy, and clears. Valid until the next call.
  std::span<const RequestUse> take_uses();
  std::vector<FinishedRequest>& finished() { return finished_; }

  // Cumulative, per GPU: while steps run / while resting (and waking).
  double busy_joules() const { return busy_joules_; }
  double idle_joules() const { return idle_joules_; }
  double busy_seconds() const { return busy_seconds_; }
  std::span<const double> level_seconds() const { return level_seconds_; }
  std::int64_t wakes() const { return wakes_; }
  std::int64_t pieces() const { return pieces_; }  // simulated events
  std::size_t outstanding() const { return pending_.size() + active_.size(); }
  base::Watts power_now() const { return base::Watts(power_w_); }
  std::int64_t tokens_out() const { return tokens_out_; }

 private:
  struct Active {
    std::int64_t finish_step;
    std::uint32_t slot;
    bool operator<(const Active& o) const {  // max-heap turned into a min-heap by finish step, then slot
      return finish_step != o.finish_step ? finish_step > o.finish_step : slot > o.slot;
    }
  };
  struct Slot {
    ServingRequest request;
    base::TimePoint first_token;
    double decode_mark = 0.0;     // decode_share_ when last accounted
    double prefill_joules = 0.0;  // in this window
  };
  enum class Piece : std::uint8_t { kRest, kWake, kPrefill, kDecode };

  void begin_piece();
  void begin_rest();
  void begin_wake();
  void begin_prefill();
  void begin_decode();
  void set_piece(Piece kind, PieceCost cost);
  // Shortens a running decode piece to end at the first step boundary at or after `t`.
  void cut_decode(base::TimePoint t);
  void end_piece();
  void end_prefill();
  void end_decode();
  void accrue(base::TimePoint to);
  void finish(std::uint32_t slot);
  std::uint32_t take_slot();
  bool work_waiting() const { return !pending_.empty() && pending_.front().arrival <= now_; }

  const StepCostModel* costs_;
  ServingLimits limits_;
  std::vector<RestLevel> levels_;
  IdleGovernor* governor_ = nullptr;

  base::TimePoint now_;
  Piece piece_ = Piece::kRest;
  base::TimePoint piece_start_, piece_end_;
  double power_w_ = 0.0;
  std::int64_t piece_steps_ = 0;
  double piece_seconds_ = 0.0;  // planned, exact

  std::deque<ServingRequest> pending_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Active> active_;             // heap
  std::vector<std::uint32_t> prefilling_;  // slots of the running prefill step
  double prefill_tokens_ = 0.0;
  std::int64_t step_count_ = 0;
  double kv_tokens_ = 0.0;     // held now
  double kv_reserved_ = 0.0;   // at the end of every active request
  double decode_share_ = 0.0;  // integral of power / batch over decode time, J

  base::TimePoint next_look_ = base::kNever;  // of the governor, while idle
  std::size_t level_ = 0;
  std::size_t requested_level_ = 0;  // by request_rest(), until work comes

  std::vector<RequestUse> uses_;  // finished in this window, plus the active at take_uses()
  std::vector<RequestUse> taken_;
  std::vector<FinishedRequest> finished_;
  double busy_joules_ = 0.0, idle_joules_ = 0.0, busy_seconds_ = 0.0;
  std::vector<double> level_seconds_;
  std::int64_t wakes_ = 0, pieces_ = 0, tokens_out_ = 0;
};

}  // namespace perjoule::plant
