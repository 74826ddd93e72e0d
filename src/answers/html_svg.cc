#include "answers/html_svg.hpp"

#include <algorithm>
#include <cmath>

#include "answers/answer_format.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace perjoule::answers::svg {
namespace {

constexpr double kLeft = 46.0, kRight = 10.0, kTop = 24.0, kBottom = 24.0;

// 1, 2 or 5 times a power of ten, so that about `ticks` of them fill the range.
double nice_step(double range, int ticks) {
  if (!(range > 0.0)) return 1.0;
  const double raw = range / ticks, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double k : {1.0, 2.0, 5.0}) {
    if (k * power >= raw) return k * power;
  }
  return 10.0 * power;
}

}  // namespace

std::string n(double v) { return base::fixed_text(v, 1); }

std::string open(double width, double height, const std::string& title, const std::string& description) {
  return "<svg role=\"img\" viewBox=\"0 0 " + n(width) + " " + n(height) + "\" aria-label=\"" +
         html_text(title + ". " + description) + "\">";
}

std::string text_at(double x, double y, const std::string& text, const char* anchor, const char* cls) {
  return "<text class=\"" + std::string(cls) + "\" x=\"" + n(x) + "\" y=\"" + n(y) + "\" text-anchor=\"" +
         anchor + "\">" + html_text(text) + "</text>";
}

std::string rect(double x, double y, double width, double height, const std::string& cls) {
  return "<rect x=\"" + n(x) + "\" y=\"" + n(y) + "\" width=\"" + n(width) + "\" height=\"" + n(height) +
         "\" class=\"" + cls + "\"/>";
}

std::string title(const std::string& text) { return "<title>" + html_text(text) + "</title>"; }

std::string tick_text(double v) { return base::shortest_text(std::round(v * 1000.0) / 1000.0 + 0.0); }

Scale nice_scale(double lo, double hi, int ticks) {
  const double step = nice_step(hi - lo, ticks);
  Scale s{std::floor(lo / step) * step, std::ceil(hi / step) * step, step};
  if (!(s.hi > s.lo)) s.hi = s.lo + step;
  return s;
}

Frame frame_of(double width, double height, Scale scale) {
  return {kLeft, width - kRight, kTop, height - kBottom, scale};
}

std::string grid(const Frame& f, const std::string& unit) {
  std::string out = text_at(2, 12, unit, "start", "l u");
  const auto lines = static_cast<int>(std::lround((f.scale.hi - f.scale.lo) / f.scale.step));
  for (int i = 0; i <= lines; ++i) {
    const double v = f.scale.lo + f.scale.step * i;
    out += "<path class=\"g\" d=\"M" + n(f.x0) + " " + n(f.y(v)) + "H" + n(f.x1) + "\"/>" +
           text_at(f.x0 - 5, f.y(v) + 4, tick_text(v), "end");
  }
  return out;
}

std::string clock_text(std::int64_t ns) { return time_text(ns).substr(11, 5); }

std::string time_axis(const StoreReport& r, const Frame& f) {
  const bool days = r.t1_ns - r.t0_ns > 36 * base::kNsPerHour;
  const std::size_t bars = r.hours.size();
  const auto room = static_cast<std::size_t>(std::max(1.0, (f.x1 - f.x0) / (days ? 84.0 : 56.0)));
  std::size_t every = std::max<std::size_t>(1, (bars + room - 1) / room);
  for (const std::size_t nice : {1U, 2U, 3U, 4U, 6U, 12U, 24U}) {
    if (nice >= every) {
      every = nice;
      break;
    }
  }
  std::string out = text_at(f.x1, f.y0 - 12, "time, UTC", "end", "l u");
  for (std::size_t i = 0; i < bars; i += every) {
    const double x = f.x0 + (f.x1 - f.x0) * static_cast<double>(i) / static_cast<double>(bars);
    const std::string full = time_text(r.hours[i].t0_ns);
    out += text_at(x, f.y1 + 16, days ? full.substr(5, 5) + " " + full.substr(11, 5) : full.substr(11, 5));
  }
  return out;
}

std::string span_text(const ReportHour& h) {
  return clock_text(h.t0_ns) + " to " + clock_text(h.t1_ns) + " UTC";
}

}  // namespace perjoule::answers::svg
