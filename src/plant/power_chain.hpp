// Losses on the way from the feed to the chips: power supplies, UPS, distribution. Every element answers one
// question: what must go in so that this much comes out. Losses are never negative and input grows with
// output (checked on set-up). Thread rule: values, shared freely after set-up. Ownership: a curve owns its
// points. Units: W. Sources and what is unverified: docs/models/power-chain.md.
#pragma once

#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

struct EfficiencyPoint {
  double load = 0.0;        // output over rated output
  double efficiency = 0.0;  // output over input
};

// 80 PLUS Titanium, 230 V internal redundant: the programme's least efficiencies at its four test points.
inline constexpr EfficiencyPoint kTitaniumSupply[] = {{0.10, 0.90}, {0.20, 0.94}, {0.50, 0.96}, {1.00, 0.91}};
// A double-conversion UPS without transformer (typical shape, unverified).
inline constexpr EfficiencyPoint kDoubleConversionUps[] = {
    {0.10, 0.900}, {0.25, 0.945}, {0.50, 0.960}, {0.75, 0.962}, {1.00, 0.958}};

// A converter known by its efficiency at some loads. Between them the *loss* is linear in the load, so the
// curve meets every point exactly and stays finite at no load, where the loss is that of the first segment's
// line (at least 0).
class EfficiencyCurve {
 public:
  // Errors (bad_input): no points, loads not rising within (0, 1.5], an efficiency outside (0, 1], a rating
  // not above 0, input that would fall while output grows.
  static base::Result<EfficiencyCurve> make(base::Watts rated, std::span<const EfficiencyPoint> points);

  // `out` >= 0 (PJ_CHECK). Above the last point the loss goes on along the last segment; see in_range.
  base::Watts loss(base::Watts out) const;
  base::Watts input_power(base::Watts out) const { return out + loss(out); }
  double efficiency(base::Watts out) const;  // 0 at no output
  bool in_range(base::Watts out) const;
  base::Watts rated() const { return rated_; }

 private:
  struct LossPoint {
    double load, loss;  // over rated
  };
  base::Watts rated_;
  std::vector<LossPoint> points_;  // the first is at no load
};

// `units` equal converters in parallel that share the output evenly (redundant supplies, 2N feeds).
base::Watts shared_input_power(const EfficiencyCurve& one, base::Watts out, int units);

// P_in = (P_out + c) / eta, the form of ExaDigiT/RAPS for Frontier.
struct AffineConversion {
  base::Watts constant;
  double efficiency = 1.0;
};
inline constexpr AffineConversion kFrontierNodeConverter{base::Watts(13.0), 0.98};  // per node
inline constexpr AffineConversion kFrontierRectifier{base::Watts(17.0), 0.96};      // per four nodes
base::Status check(const AffineConversion& conversion);
base::Watts input_power(const AffineConversion& conversion, base::Watts out);

// PDU, transformer or feed cable: a loss that is always there and one with the square of the load.
struct DistributionParams {
  base::Watts rated;
  double no_load = 0.0;  // loss over rated at no load
  double at_full = 0.0;  // further loss over rated at rated output
};
// Defaults (unverified): rack PDU without transformer, floor PDU with transformer, low-voltage feed.
inline DistributionParams rack_pdu(base::Watts rated) { return {rated, 0.0005, 0.004}; }
inline DistributionParams floor_pdu(base::Watts rated) { return {rated, 0.004, 0.012}; }
inline DistributionParams feed(base::Watts rated) { return {rated, 0.0, 0.010}; }
base::Status check(const DistributionParams& params);
base::Watts input_power(const DistributionParams& params, base::Watts out);

}  // namespace perjoule::plant
