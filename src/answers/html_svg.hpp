// Pieces of the report's plots: SVG elements, axes and scales. Thread rule: pure functions. Units: SVG user
// units for places, the plot's own for values.
#pragma once

#include <string>

#include "answers/store_report.hpp"

namespace perjoule::answers::svg {

// One decimal.
std::string n(double v);
// Opens a plot. `title` names it, `description` says what it shows, for readers who do not see it.
std::string open(double width, double height, const std::string& title, const std::string& description);
std::string text_at(double x, double y, const std::string& text, const char* anchor = "start",
                    const char* cls = "l");
std::string rect(double x, double y, double width, double height, const std::string& cls);
std::string title(const std::string& text);
// 12.5, 0.04: without digits that say nothing.
std::string tick_text(double v);

// Round bounds and steps around lo..hi.
struct Scale {
  double lo = 0.0, hi = 1.0, step = 1.0;
  double at(double value, double from, double to) const {
    return from + (value - lo) / (hi - lo) * (to - from);
  }
};
Scale nice_scale(double lo, double hi, int ticks);

// The room inside the axes.
struct Frame {
  double x0 = 0.0, x1 = 0.0, y0 = 0.0, y1 = 0.0;
  Scale scale;  // of the vertical axis
  double y(double value) const { return scale.at(value, y1, y0); }
};
Frame frame_of(double width, double height, Scale scale);
// Lines and numbers of the vertical axis, and its unit above it.
std::string grid(const Frame& f, const std::string& unit);
// Clock times below the axis, as many as fit.
std::string time_axis(const StoreReport& r, const Frame& f);
std::string span_text(const ReportHour& h);
std::string clock_text(std::int64_t ns);

}  // namespace perjoule::answers::svg
