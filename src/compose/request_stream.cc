#include <algorithm>
#include <cmath>
#include <optional>

#include "base/rng.hpp"
#include "compose/scenario.hpp"

namespace perjoule::compose {
namespace {

// Walks the tiled trace in its own time and turns it into calendar time by inverting the cumulative rate.
class TiledTrace {
 public:
  TiledTrace(const RequestSource& source, base::TimePoint start, std::uint64_t seed)
      : source_(source), start_(start), rng_(base::Rng::stream(seed, "requests")) {
    const auto& rows = source_.trace->rows;
    period_s_ = rows.back().arrival.value() + rows.back().arrival.value() / static_cast<double>(rows.size());
    for (const double w : source_.service_weights) weight_sum_ += w;
  }

  std::optional<plant::HallRequest> next() {
    const auto& rows = source_.trace->rows;
    if (!source_.tiled && tile_ > 0) return std::nullopt;
    const auto& row = rows[row_];
    advance_to(static_cast<double>(tile_) * period_s_ + row.arrival.value());
    plant::HallRequest out;
    out.service = source_.row_service.empty() ? pick_service() : source_.row_service[row_];
    out.request = {++id_, start_ + base::to_duration(base::Seconds(calendar_s_)), row.input_tokens,
                   row.output_tokens};
    if (++row_ == rows.size()) row_ = 0, ++tile_;
    return out;
  }

 private:
  double rate_at(double calendar_s) const {
    const auto hour = (start_.ns / base::kNsPerSecond + static_cast<std::int64_t>(calendar_s)) / 3600 % 24;
    return std::max(source_.rate * source_.profile[static_cast<std::size_t>(hour)], 1e-6);
  }

  // Moves to where the integral of the rate equals `trace_s`.
  void advance_to(double trace_s) {
    for (;;) {
      const double rate = rate_at(calendar_s_);
      const double start_in_hour = static_cast<double>(start_.ns % base::kNsPerHour) * 1e-9;
      const double hours = std::floor((calendar_s_ + start_in_hour) / 3600.0) + 1.0;
      const double hour_end = hours * 3600.0 - start_in_hour;
      const double left = (hour_end - calendar_s_) * rate;
      if (trace_at_ + left >= trace_s) {
        calendar_s_ += (trace_s - trace_at_) / rate;
        trace_at_ = trace_s;
        return;
      }
      trace_at_ += left;
      calendar_s_ = hour_end;
    }
  }

  std::size_t pick_service() {
    double u = rng_.uniform() * weight_sum_;
    for (std::size_t s = 0; s + 1 < source_.service_weights.size(); ++s) {
      if (u < source_.service_weights[s]) return s;
      u -= source_.service_weights[s];
    }
    return source_.service_weights.size() - 1;
  }

  RequestSource source_;
  base::TimePoint start_;
  base::Rng rng_;
  double period_s_ = 1.0, weight_sum_ = 0.0;
  double calendar_s_ = 0.0, trace_at_ = 0.0;
  std::size_t row_ = 0, tile_ = 0;
  std::uint64_t id_ = 0;
};

}  // namespace

plant::RequestStream make_request_stream(const Scenario& scenario) {
  if (!scenario.requests.trace || scenario.requests.trace->rows.empty()) return {};
  if (scenario.requests.service_weights.empty()) return {};
  auto trace = std::make_shared<TiledTrace>(scenario.requests, scenario.hall.start, scenario.hall.seed);
  return [trace] { return trace->next(); };
}

}  // namespace perjoule::compose
