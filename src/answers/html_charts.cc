#include "answers/html_charts.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "answers/answer_format.hpp"
#include "answers/html_svg.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using svg::Frame;
using svg::n;

double kilowatts(std::int64_t uj, const ReportHour& h) {
  return static_cast<double>(uj) * 1e-9 / (static_cast<double>(h.t1_ns - h.t0_ns) * 1e-9);
}

struct Layer {
  std::string name, cls;
};

using LayerValue = std::function<std::int64_t(const ReportHour&, std::size_t)>;

std::string stacked_chart(const StoreReport& r, int width, int height, const std::string& title,
                          const std::vector<Layer>& layers, const LayerValue& uj) {
  double lowest = 0.0, highest = 0.0;
  for (const ReportHour& h : r.hours) {
    double up = 0.0, down = 0.0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const double kw = kilowatts(uj(h, i), h);
      (kw > 0.0 ? up : down) += kw;
    }
    lowest = std::min(lowest, down), highest = std::max(highest, up);
  }
  // A residual of some watts below zero shall not cost half of the plot.
  if (lowest > -0.01 * highest) lowest = 0.0;
  const Frame f = svg::frame_of(width, height, svg::nice_scale(lowest, highest, 4));
  std::string out =
      svg::open(width, height, title,
                "Highest " + base::fixed_text(highest, 1) + " kW. The table below has the values.");
  out += svg::grid(f, "kW") + svg::time_axis(r, f);
  const double step = (f.x1 - f.x0) / static_cast<double>(r.hours.size());
  for (std::size_t b = 0; b < r.hours.size(); ++b) {
    const ReportHour& h = r.hours[b];
    double up = 0.0, down = 0.0;
    std::string tip = svg::span_text(h), bars;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const double kw = kilowatts(uj(h, i), h);
      tip += "\n" + layers[i].name + ": " + base::fixed_text(kw, 2) + " kW";
      double& from = kw > 0.0 ? up : down;
      const double y0 = f.y(std::max(from, from + kw));
      const double y1 = std::min(f.y1, f.y(std::min(from, from + kw)));
      if (y1 - y0 >= 0.05) {
        bars += svg::rect(f.x0 + step * static_cast<double>(b), y0, std::max(0.5, step - 1.5), y1 - y0,
                          layers[i].cls);
      }
      from += kw;
    }
    out += "<g>" + bars + svg::title(tip) + "</g>";
  }
  return out + "</svg>";
}

struct Line {
  std::string name, cls;
  std::vector<double> values;  // NaN: a gap
};

std::string line_chart(const StoreReport& r, int width, int height, const std::string& title,
                       const std::string& unit, const std::vector<Line>& lines) {
  double highest = 0.0;
  for (const Line& line : lines) {
    for (const double v : line.values) highest = std::isnan(v) ? highest : std::max(highest, v);
  }
  const Frame f = svg::frame_of(width, height, svg::nice_scale(0.0, highest, 4));
  std::string out =
      svg::open(width, height, title,
                "Highest " + base::fixed_text(highest, 1) + " " + unit + ". The table below has the values.");
  out += svg::grid(f, unit) + svg::time_axis(r, f);
  const double step = (f.x1 - f.x0) / static_cast<double>(r.hours.size());
  for (const Line& line : lines) {
    std::string path;
    bool open = false;  // a gap in the data is a gap in the line
    for (std::size_t i = 0; i < line.values.size(); ++i) {
      const double v = line.values[i], x = f.x0 + step * static_cast<double>(i);
      if (!std::isnan(v)) path += (open ? "L" : "M") + n(x) + " " + n(f.y(v)) + "H" + n(x + step);
      open = !std::isnan(v);
    }
    out += "<path class=\"line " + line.cls + "\" d=\"" + path + "\"/>";
  }
  for (std::size_t i = 0; i < r.hours.size(); ++i) {
    std::string tip = svg::span_text(r.hours[i]);
    for (const Line& line : lines) {
      const double v = line.values[i];
      tip += "\n" + line.name + ": " + (std::isnan(v) ? "missing" : base::fixed_text(v, 1) + " " + unit);
    }
    out += "<g>" + svg::rect(f.x0 + step * static_cast<double>(i), f.y0, step, f.y1 - f.y0, "h") +
           svg::title(tip) + "</g>";
  }
  return out + "</svg>";
}

// One mark per role, told apart by its form as well as by its colour.
std::string mark(double x, double y, const ReportSaving& s) {
  const auto path = [](const std::string& d, const char* cls) {
    return "<path class=\"" + std::string(cls) + "\" d=\"" + d + "\"/>";
  };
  const auto point = [&](double dx, double dy) { return n(x + dx) + " " + n(y + dy); };
  if (s.ours()) {
    return path("M" + point(0, -8) + "L" + point(8, 6) + "L" + point(-8, 6) + "Z", "m3");
  }
  if (s.baseline == "strong") {
    return path("M" + point(0, -8) + "L" + point(8, 0) + "L" + point(0, 8) + "L" + point(-8, 0) + "Z", "m2");
  }
  if (s.baseline == "usual") {
    return path("M" + point(-6, -6) + "H" + n(x + 6) + "V" + n(y + 6) + "H" + n(x - 6) + "Z", "m1");
  }
  return "<circle class=\"m0\" cx=\"" + n(x) + "\" cy=\"" + n(y) + "\" r=\"9\"/>";
}

struct RulePoint {
  const ReportSaving* saving;
  double x, y, label_y;
};

// Labels stand in a column on the right, in the order of their points, none nearer than a line to the next.
void spread_labels(std::vector<RulePoint>& points, double top, double bottom) {
  constexpr double kLine = 17.0;
  std::stable_sort(points.begin(), points.end(), [](const RulePoint& a, const RulePoint& b) {
    return std::abs(a.y - b.y) > 0.5 ? a.y < b.y : a.x > b.x;
  });
  double next = top;
  for (RulePoint& p : points) next = (p.label_y = std::max(p.y, next)) + kLine;
  double limit = bottom;
  for (auto p = points.rbegin(); p != points.rend(); ++p) {
    p->label_y = std::min(p->label_y, limit);
    limit = p->label_y - kLine;
  }
}

std::string rule_name(const ReportSaving& s) {
  if (s.policy == kRecordedRun) return "this run";
  return s.policy == s.rule ? s.rule : s.policy + " " + s.rule;
}

}  // namespace

std::string share_chart(const StoreReport& r, int width, int height) {
  std::vector<Layer> layers;
  for (std::size_t s = 0; s < 4; ++s)
    layers.push_back({std::string(energy::kShareNames[s]), "s" + std::to_string(s)});
  return stacked_chart(r, width, height, "Mean site power over time in kilowatts, stacked by share", layers,
                       [](const ReportHour& h, std::size_t i) { return h.by_share_uj[i]; });
}

std::string kind_chart(const StoreReport& r, int width, int height) {
  std::vector<Layer> layers;
  for (std::size_t k = 0; k < kEnergyKinds; ++k)
    layers.push_back({kEnergyKindTitles[k], "k" + std::to_string(k)});
  return stacked_chart(r, width, height, "Mean site power over time in kilowatts, stacked by kind of device",
                       layers, [](const ReportHour& h, std::size_t i) { return h.by_kind_uj[i]; });
}

std::string idle_chart(const StoreReport& r, int width, int height) {
  Line line{"idle share", "c0", {}};
  for (const ReportHour& h : r.hours) {
    const std::int64_t gpu = h.energy_uj[0] + h.energy_uj[1];
    line.values.push_back(gpu == 0 ? std::nan("")
                                   : 100.0 * static_cast<double>(h.energy_uj[1]) / static_cast<double>(gpu));
  }
  return line_chart(r, width, height, "Share of GPU energy drawn idle over time", "%", {line});
}

std::string carbon_chart(const StoreReport& r, int width, int height) {
  if (r.carbon.empty()) return "";
  std::vector<Line> lines;
  std::vector<std::string> regions;
  for (const ReportCarbon& c : r.carbon) {
    auto it = std::find(regions.begin(), regions.end(), c.region);
    if (it == regions.end()) it = regions.insert(regions.end(), c.region);
    const auto colour = std::min<std::ptrdiff_t>(4, it - regions.begin());
    lines.push_back({c.region + " " + c.kind,
                     "c" + std::to_string(colour) + (c.kind == "marginal" ? " dash" : ""), c.g_per_kwh});
  }
  return line_chart(r, width, height, "Carbon intensity of the grid over time", "g CO2e/kWh", lines);
}

std::string rules_chart(const StoreReport& r, int width, int height) {
  std::vector<RulePoint> points;
  double x_low = 1e300, x_high = 0.0, y_low = 1e300, y_high = 0.0;
  for (const ReportSaving& s : r.savings) {
    if (std::isnan(s.p99_ms)) continue;
    const double x = s.p99_ms * 1e-3, y = static_cast<double>(s.site_uj) / 3.6e12;
    points.push_back({&s, x, y, 0.0});
    x_low = std::min(x_low, x), x_high = std::max(x_high, x);
    y_low = std::min(y_low, y), y_high = std::max(y_high, y);
  }
  if (points.empty()) return "";
  const double room = 150.0;
  const double pad_x = 0.05 * std::max(x_high - x_low, 1e-6), pad_y = 0.05 * std::max(y_high - y_low, 1e-6);
  Frame f = svg::frame_of(width, height, svg::nice_scale(y_low - pad_y, y_high + pad_y, 4));
  f.x1 -= room, f.y1 -= 18;
  const svg::Scale across = svg::nice_scale(x_low - pad_x, x_high + pad_x, width < 400 ? 3 : 5);
  std::string out = svg::open(
      width, height, "P99 latency against site energy of the compared rules",
      std::to_string(points.size()) + " rules; lower left is better. The table above has the values.");
  out += svg::grid(f, "site energy, kWh (not from 0)");
  for (double v = across.lo; v <= across.hi + 1e-9 * across.step; v += across.step) {
    const double x = across.at(v, f.x0, f.x1);
    out += "<path class=\"g\" d=\"M" + n(x) + " " + n(f.y0) + "V" + n(f.y1) + "\"/>" +
           svg::text_at(x, f.y1 + 16, svg::tick_text(v), "middle");
  }
  out += svg::text_at((f.x0 + f.x1) / 2, f.y1 + 34, "P99 latency, s (not from 0)", "middle", "l u");
  for (RulePoint& p : points) p.x = across.at(p.x, f.x0, f.x1), p.y = f.y(p.y);
  spread_labels(points, f.y0 + 6, f.y1);
  std::string labels;
  // Ours last: it is not hidden by what it is compared with.
  std::stable_sort(points.begin(), points.end(), [](const RulePoint& a, const RulePoint& b) {
    return !a.saving->ours() && b.saving->ours();
  });
  for (const RulePoint& p : points) {
    out += "<path class=\"lead\" d=\"M" + n(p.x) + " " + n(p.y) + "L" + n(f.x1 + 4) + " " + n(p.label_y) +
           "H" + n(f.x1 + 8) + "\"/>";
    labels += "<g>" + mark(p.x, p.y, *p.saving) +
              svg::text_at(f.x1 + 11, p.label_y + 4, rule_name(*p.saving), "start",
                           p.saving->ours() ? "l o" : "l") +
              svg::title(rule_name(*p.saving) + ": " + energy_text(p.saving->site_uj) + ", P99 " +
                         base::fixed_text(p.saving->p99_ms * 1e-3, 2) + " s, missed " +
                         base::group_digits(p.saving->missed)) +
              "</g>";
  }
  return out + labels + "</svg>";
}

std::string action_chart(const StoreReport& r, const ReportAction& action, int width, int height) {
  std::int64_t highest = 0;
  for (const std::int64_t c : action.by_hour) highest = std::max(highest, c);
  const Frame f = svg::frame_of(width, height, svg::nice_scale(0.0, static_cast<double>(highest), 3));
  std::string out = svg::open(
      width, height, action.policy + ", " + action.action + ": decisions over time",
      base::group_digits(action.count) + " in all, at most " + base::group_digits(highest) + " in one bar.");
  out += svg::grid(f, "decisions") + svg::time_axis(r, f);
  const double step = (f.x1 - f.x0) / static_cast<double>(r.hours.size());
  for (std::size_t i = 0; i < action.by_hour.size(); ++i) {
    const double y = f.y(static_cast<double>(action.by_hour[i]));
    out += "<g>" +
           svg::rect(f.x0 + step * static_cast<double>(i), y, std::max(0.5, step - 1.5), f.y1 - y, "s0") +
           svg::title(svg::span_text(r.hours[i]) + ": " + base::group_digits(action.by_hour[i])) + "</g>";
  }
  return out + "</svg>";
}

}  // namespace perjoule::answers
