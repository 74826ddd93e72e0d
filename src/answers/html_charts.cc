#include "answers/html_charts.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "answers/answer_format.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace perjoule::answers {
namespace {

constexpr double kLeft = 46.0, kRight = 8.0, kTop = 8.0, kBottom = 24.0;
constexpr double kNodeWidth = 12.0, kNodeGap = 6.0;
constexpr double kLabelHeight = 15.0;      // a node takes at least this much, so that labels do not meet
constexpr double kSmallestShare = 0.0005;  // of the site: smaller flows are left out of the plot

std::string n(double v) { return base::fixed_text(v, 1); }

std::string svg_open(int width, int height, const std::string& title) {
  return "<svg role=\"img\" viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) +
         "\" aria-label=\"" + html_text(title) + "\"><title>" + html_text(title) + "</title>";
}

std::string text_at(double x, double y, const std::string& text, const char* anchor = "start",
                    const char* cls = "l") {
  return "<text class=\"" + std::string(cls) + "\" x=\"" + n(x) + "\" y=\"" + n(y) + "\" text-anchor=\"" +
         anchor + "\">" + html_text(text) + "</text>";
}

// 1, 2 or 5 times a power of ten, so that about `ticks` of them reach the top.
double nice_step(double top, int ticks) {
  if (!(top > 0.0)) return 1.0;
  const double raw = top / ticks, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double k : {1.0, 2.0, 5.0}) {
    if (k * power >= raw) return k * power;
  }
  return 10.0 * power;
}

struct Frame {
  double x0 = kLeft, x1 = 0.0, y0 = kTop, y1 = 0.0;
  double top = 1.0;  // value at y0
  double y(double value) const { return y1 - value / top * (y1 - y0); }
};

Frame frame_of(int width, int height, double largest) {
  Frame f;
  f.x1 = width - kRight;
  f.y1 = height - kBottom;
  const double step = nice_step(largest, 4);
  f.top = std::max(step, std::ceil(largest / step) * step);
  return f;
}

std::string grid(const Frame& f, const std::function<std::string(double)>& label) {
  std::string out;
  const double step = nice_step(f.top, 4);
  for (double v = 0.0; v <= f.top * 1.0001; v += step) {
    out += "<line class=\"g\" x1=\"" + n(f.x0) + "\" x2=\"" + n(f.x1) + "\" y1=\"" + n(f.y(v)) + "\" y2=\"" +
           n(f.y(v)) + "\"/>";
    out += text_at(f.x0 - 5, f.y(v) + 4, label(v), "end");
  }
  return out;
}

std::string hour_text(std::int64_t ns) { return time_text(ns).substr(11, 5); }

// Clock times below the axis, about one per 70 units.
std::string time_axis(const StoreReport& r, const Frame& f) {
  std::string out;
  const std::size_t bars = r.hours.size();
  const auto room = static_cast<std::size_t>(std::max(1.0, (f.x1 - f.x0) / 70.0));
  std::size_t every = std::max<std::size_t>(1, (bars + room - 1) / room);
  for (const std::size_t nice : {1U, 2U, 3U, 4U, 6U, 12U, 24U}) {
    if (nice >= every) {
      every = nice;
      break;
    }
  }
  for (std::size_t i = 0; i < bars; i += every) {
    const double x = f.x0 + (f.x1 - f.x0) * static_cast<double>(i) / static_cast<double>(bars);
    out += text_at(x, f.y1 + 17, hour_text(r.hours[i].t0_ns), "start");
  }
  return out;
}

std::string span_text(const ReportHour& h) {
  return hour_text(h.t0_ns) + " to " + hour_text(h.t1_ns) + " UTC";
}

std::string line_chart(const StoreReport& r, int width, int height, const std::string& title,
                       const std::string& unit, const char* colour,
                       const std::function<double(const ReportHour&)>& value) {
  double largest = 0.0;
  for (const ReportHour& h : r.hours) {
    if (!std::isnan(value(h))) largest = std::max(largest, value(h));
  }
  const Frame f = frame_of(width, height, largest);
  std::string out = svg_open(width, height, title);
  out += grid(f, [](double v) { return base::shortest_text(std::round(v * 1000.0) / 1000.0); }) +
         time_axis(r, f);
  const double step = (f.x1 - f.x0) / static_cast<double>(r.hours.size());
  std::string path;
  bool open = false;  // a gap in the data is a gap in the line
  for (std::size_t i = 0; i < r.hours.size(); ++i) {
    const double v = value(r.hours[i]);
    const double x = f.x0 + step * static_cast<double>(i);
    if (std::isnan(v)) {
      open = false;
      continue;
    }
    path += (open ? "L" : "M") + n(x) + " " + n(f.y(v)) + "H" + n(x + step);
    open = true;
  }
  out += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"2\"/>";
  for (std::size_t i = 0; i < r.hours.size(); ++i) {
    out += "<rect class=\"h\" x=\"" + n(f.x0 + step * static_cast<double>(i)) + "\" y=\"" + n(f.y0) +
           "\" width=\"" + n(step) + "\" height=\"" + n(f.y1 - f.y0) + "\"><title>" + span_text(r.hours[i]) +
           ": " + number_text(value(r.hours[i]), 1) + " " + unit + "</title></rect>";
  }
  return out + "</svg>";
}

// ---- the flow
// ---------------------------------------------------------------------------------------------------

struct FlowNode {
  std::string label;
  std::string colour;
  std::int64_t uj = 0;
  std::size_t column = 0;
  std::size_t from = SIZE_MAX;  // the node it comes out of
  double y = 0.0, height = 0.0, out_y = 0.0;
};

void add_holder(const StoreReport& r, std::vector<FlowNode>& nodes, std::size_t gpu, const std::string& label,
                std::int64_t work, std::int64_t idle) {
  const double least = kSmallestShare * static_cast<double>(r.site_uj);
  if (static_cast<double>(work + idle) < least) return;
  const std::size_t holder = nodes.size();
  nodes.push_back({label, "#4a6fa5", work + idle, 2, gpu});
  if (static_cast<double>(work) >= least) nodes.push_back({"working", kPartColours[0], work, 3, holder});
  if (static_cast<double>(idle) >= least) nodes.push_back({"idle", kPartColours[1], idle, 3, holder});
}

std::vector<FlowNode> flow_nodes(const StoreReport& r) {
  const auto parts = r.parts_uj();
  std::vector<FlowNode> nodes{{"Site", "#333333", r.site_uj, 0}};
  const std::int64_t gpu_uj = parts[0] + parts[1];
  const std::size_t gpu = nodes.size();
  nodes.push_back({"GPU", "#4a6fa5", gpu_uj, 1, 0});
  for (std::size_t p = 2; p < kEnergyParts; ++p) {
    if (parts[p] <= 0) continue;
    const std::string title = kEnergyPartTitles[p];
    nodes.push_back({p == 2 ? "Host" : p == 5 ? "Losses" : title, kPartColours[p], parts[p], 1, 0});
  }
  std::int64_t train_work = 0, train_idle = 0, free_work = 0, free_idle = 0;
  std::size_t jobs = 0;
  for (const ReportConsumer& c : r.consumers) {
    if (c.serving) {
      add_holder(r, nodes, gpu, c.job.empty() ? c.model : c.job, c.gpu_direct_uj, c.gpu_idle_uj);
    } else if (!c.job.empty()) {
      train_work += c.gpu_direct_uj, train_idle += c.gpu_idle_uj;
      jobs += c.gpu_direct_uj + c.gpu_idle_uj > 0 ? 1 : 0;
    } else {
      free_work += c.gpu_direct_uj, free_idle += c.gpu_idle_uj;
    }
  }
  add_holder(r, nodes, gpu, std::to_string(jobs) + " jobs", train_work, train_idle);
  add_holder(r, nodes, gpu, "not reserved", free_work, free_idle);
  return nodes;
}

// Returns the height that is needed.
double place(std::vector<FlowNode>& nodes, double height) {
  const double scale = height / static_cast<double>(nodes[0].uj);
  std::array<double, 4> y{};
  double needed = height;
  for (FlowNode& node : nodes) {
    node.height = std::max(1.0, static_cast<double>(node.uj) * scale);
    node.y = std::max(y[node.column], node.from == SIZE_MAX ? 0.0 : nodes[node.from].y);
    node.out_y = node.y;
    y[node.column] = node.y + std::max(node.height, kLabelHeight) + kNodeGap;
    needed = std::max(needed, y[node.column]);
  }
  return needed;
}

std::string band(double x0, double y0, double x1, double y1, double height, const std::string& colour,
                 const std::string& tip) {
  const double mid = (x0 + x1) / 2;
  return "<path d=\"M" + n(x0) + " " + n(y0) + "C" + n(mid) + " " + n(y0) + " " + n(mid) + " " + n(y1) + " " +
         n(x1) + " " + n(y1) + "V" + n(y1 + height) + "C" + n(mid) + " " + n(y1 + height) + " " + n(mid) +
         " " + n(y0 + height) + " " + n(x0) + " " + n(y0 + height) + "Z\" fill=\"" + colour +
         "\" fill-opacity=\".35\"><title>" + html_text(tip) + "</title></path>";
}

}  // namespace

std::string power_chart(const StoreReport& r, int width, int height) {
  double largest = 0.0;
  for (const ReportHour& h : r.hours) {
    double sum = 0.0;
    for (std::size_t p = 0; p < kEnergyParts; ++p) sum += std::max(0.0, h.mean_power_w(p));
    largest = std::max(largest, sum * 1e-3);
  }
  const Frame f = frame_of(width, height, largest);
  std::string out = svg_open(width, height, "Mean site power over time in kilowatts, stacked by part");
  out += grid(f, [](double v) { return base::shortest_text(std::round(v * 1000.0) / 1000.0); }) +
         time_axis(r, f);
  const double step = (f.x1 - f.x0) / static_cast<double>(r.hours.size());
  for (std::size_t i = 0; i < r.hours.size(); ++i) {
    const ReportHour& h = r.hours[i];
    double below = 0.0;
    std::string tip = span_text(h);
    out += "<g>";
    for (std::size_t p = 0; p < kEnergyParts; ++p) {
      const double kw = std::max(0.0, h.mean_power_w(p) * 1e-3);
      out += "<rect x=\"" + n(f.x0 + step * static_cast<double>(i)) + "\" y=\"" + n(f.y(below + kw)) +
             "\" width=\"" + n(std::max(0.5, step - 1.5)) + "\" height=\"" + n(f.y(below) - f.y(below + kw)) +
             "\" fill=\"" + kPartColours[p] + "\"/>";
      tip += "\n" + std::string(kEnergyPartTitles[p]) + ": " + base::fixed_text(h.mean_power_w(p) * 1e-3, 2) +
             " kW";
      below += kw;
    }
    out += "<title>" + html_text(tip) + "</title></g>";
  }
  return out + "</svg>";
}

std::string idle_chart(const StoreReport& r, int width, int height) {
  return line_chart(r, width, height, "Share of GPU energy drawn idle, in percent", "%", kPartColours[0],
                    [](const ReportHour& h) {
                      const std::int64_t gpu = h.energy_uj[0] + h.energy_uj[1];
                      return gpu == 0
                                 ? std::nan("")
                                 : 100.0 * static_cast<double>(h.energy_uj[1]) / static_cast<double>(gpu);
                    });
}

std::string carbon_chart(const StoreReport& r, int width, int height) {
  if (r.carbon.empty()) return "";
  return line_chart(r, width, height, "Carbon intensity of the grid, grams of CO2 equivalent per kWh",
                    "g/kWh", kPartColours[2], [](const ReportHour& h) { return h.g_per_kwh; });
}

std::string flow_chart(const StoreReport& r, int width, int height) {
  if (r.site_uj <= 0) return "";
  std::vector<FlowNode> nodes = flow_nodes(r);
  const double needed = place(nodes, height) + 2 * kNodeGap;
  std::string out = svg_open(width, static_cast<int>(std::ceil(needed)), "Where the site's energy went");
  const double label_room = 185.0;
  const double step = (width - label_room - kNodeWidth) / 3.0;
  std::string marks, labels;
  for (FlowNode& node : nodes) {
    const double x = step * static_cast<double>(node.column);
    const std::string amount = energy_text(node.uj) + ", " +
                               percent_text(static_cast<double>(node.uj), static_cast<double>(r.site_uj));
    const std::string tip = node.label + ": " + amount + " of the site";
    if (node.from != SIZE_MAX) {
      FlowNode& from = nodes[node.from];
      out += band(step * static_cast<double>(from.column) + kNodeWidth, from.out_y + kNodeGap, x,
                  node.y + kNodeGap, node.height, node.colour, tip);
      from.out_y += node.height;
    }
    marks += "<rect x=\"" + n(x) + "\" y=\"" + n(node.y + kNodeGap) + "\" width=\"" + n(kNodeWidth) +
             "\" height=\"" + n(node.height) + "\" fill=\"" + node.colour + "\"><title>" + html_text(tip) +
             "</title></rect>";
    labels += text_at(x + kNodeWidth + 5, node.y + kNodeGap + std::max(4.0, node.height / 2) + 4,
                      node.label + " " + amount, "start", "l b");
  }
  return out + marks + labels + "</svg>";
}

}  // namespace perjoule::answers
