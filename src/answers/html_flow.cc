// The flow of joules as a Sankey plot: what a band's width is, is energy.
#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

#include "answers/answer_format.hpp"
#include "answers/html_charts.hpp"
#include "answers/html_svg.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using svg::n;

constexpr double kNodeWidth = 10.0, kNodeGap = 7.0;
constexpr double kSlot = 16.0;             // a node takes at least a label's height
constexpr double kSmallestShare = 0.0005;  // of the site: smaller flows are left out
constexpr std::size_t kRacksShown = 8, kConsumersShown = 6;

// Columns from left to right.
enum Stage : std::size_t { kSite, kFeed, kUps, kRack, kKind, kConsumer, kStages };

// Kinds of the plot: the host's are one.
constexpr std::array<const char*, 5> kGroups{"GPU", "Host", "Network", "Cooling", "Losses"};
constexpr std::array<const char*, 5> kGroupClasses{"k0", "k1", "k6", "k7", "k8"};

std::size_t group_of(std::size_t kind) {
  switch (static_cast<EnergyKind>(kind)) {
    case EnergyKind::kGpu:
      return 0;
    case EnergyKind::kNetwork:
      return 2;
    case EnergyKind::kCooling:
      return 3;
    case EnergyKind::kLosses:
      return 4;
    default:
      return 1;
  }
}

std::size_t group_of(const ReportMeter& m) {
  if (m.zone == "cooling") return 3;
  for (std::size_t k = 0; k < kEnergyKinds; ++k) {
    if (m.kind == kEnergyKindNames[k]) return group_of(k);
  }
  return m.kind == "switch" ? 2 : 4;
}

struct Node {
  std::string label, cls;
  Stage stage = kSite;
  std::int64_t energy_uj = 0;  // what is written beside it
  double in = 0.0, out = 0.0;  // microjoules of its bands
  double y = 0.0, height = 0.0, in_y = 0.0, out_y = 0.0;
  double size() const { return std::max(in, out); }
};

class Flow {
 public:
  Flow(const StoreReport& r, bool few) : r_(r), few_(few) {
    node_of(kSite, "Site", "n");
    for (std::size_t g = 0; g < kGroups.size(); ++g) node_of(kKind, kGroups[g], kGroupClasses[g]);
    choose_racks();
    for (const ReportMeter& m : r.meters) add_meter(m);
    add_consumers();
    prune();
  }
  std::string draw(double width, double height);
  std::int64_t undrawn() const { return undrawn_; }

 private:
  std::size_t node_of(Stage stage, const std::string& label, const std::string& cls) {
    const auto [it, fresh] = index_.try_emplace({stage, label}, nodes_.size());
    if (fresh) nodes_.push_back({label, cls, stage});
    return it->second;
  }

  void link(std::size_t from, std::size_t to, std::int64_t uj) {
    if (uj <= 0) {
      undrawn_ += uj;
      return;
    }
    links_[{from, to}] += uj;
  }

  // The largest racks by name, the others together.
  void choose_racks() {
    std::vector<const ReportMeter*> racks;
    for (const ReportMeter& m : r_.meters) {
      if (m.kind == "rack") racks.push_back(&m);
    }
    std::stable_sort(racks.begin(), racks.end(),
                     [](const ReportMeter* a, const ReportMeter* b) { return a->energy_uj > b->energy_uj; });
    for (std::size_t i = 0; i < racks.size(); ++i) {
      const std::string name = racks[i]->rack.empty() ? racks[i]->name : racks[i]->rack;
      rack_label_[racks[i]->name] = i < kRacksShown || racks.size() == kRacksShown + 1
                                        ? name
                                        : std::to_string(racks.size() - kRacksShown) + " other racks";
    }
  }

  // The node that stands for the meter itself, or none.
  std::size_t own_node(const ReportMeter& m) {
    if (m.parent == SIZE_MAX) return 0;
    if (few_ || m.zone == "cooling") return SIZE_MAX;
    const std::string last = m.name.substr(m.name.rfind('/') + 1);
    if (m.kind == "feed") return node_of(kFeed, last, "n");
    if (m.kind == "ups") {
      const ReportMeter& parent = r_.meters[m.parent];
      const bool by_feed = parent.kind == "feed";
      return node_of(kUps, by_feed ? "UPS of " + parent.name.substr(parent.name.rfind('/') + 1) : last, "n");
    }
    if (m.kind == "rack") return node_of(kRack, rack_label_[m.name], "n");
    return SIZE_MAX;
  }

  std::size_t nearest_node(const ReportMeter& m) {
    const ReportMeter* at = &m;
    // A damaged store may hold a ring of parents.
    for (std::size_t steps = 0; steps <= r_.meters.size(); ++steps) {
      if (const std::size_t own = own_node(*at); own != SIZE_MAX) return own;
      at = &r_.meters[at->parent];
    }
    return 0;
  }

  void add_meter(const ReportMeter& m) {
    const std::size_t node = nearest_node(m);
    std::int64_t own = 0;
    for (const std::int64_t uj : m.own_uj) own += uj;
    link(node, 1 + group_of(m), own);
    nodes_[1 + group_of(m)].energy_uj += own;
    if (m.parent == SIZE_MAX || own_node(m) != SIZE_MAX) nodes_[node].energy_uj += m.energy_uj;
    if (m.parent != SIZE_MAX && own_node(m) != SIZE_MAX) {
      link(nearest_node(r_.meters[m.parent]), node, m.energy_uj);
    }
  }

  void add_consumers() {
    std::size_t shown = 0, jobs = 0;
    for (const ReportConsumer& c : r_.consumers) jobs += !c.serving && !c.job.empty() ? 1U : 0U;
    for (const ReportConsumer& c : r_.consumers) {
      std::string label = "no one";
      if (c.serving)
        label = ++shown <= kConsumersShown ? (c.job.empty() ? c.model : c.job) : "other services";
      if (!c.serving && !c.job.empty()) label = base::group_digits(static_cast<std::int64_t>(jobs)) + " jobs";
      const std::size_t node = node_of(kConsumer, label, "n");
      nodes_[node].energy_uj += c.total_uj();
      std::array<std::int64_t, kGroups.size()> by_group{};
      for (std::size_t k = 0; k < kEnergyKinds; ++k) by_group[group_of(k)] += c.by_kind_uj[k];
      for (std::size_t g = 0; g < kGroups.size(); ++g) {
        if (by_group[g] > 0) links_[{1 + g, node}] += by_group[g];
      }
    }
  }

  void prune() {
    std::erase_if(links_, [&](const auto& l) {
      return static_cast<double>(l.second) < kSmallestShare * static_cast<double>(r_.site_uj);
    });
    for (const auto& [ends, uj] : links_) {
      nodes_[ends.first].out += static_cast<double>(uj);
      nodes_[ends.second].in += static_cast<double>(uj);
    }
  }

  double place(double height);
  std::string band(const Node& from, const Node& to, double thick, double x0, double x1,
                   std::int64_t uj) const;

  const StoreReport& r_;
  bool few_;
  std::vector<Node> nodes_;  // the site, the kinds, then the rest
  std::map<std::pair<Stage, std::string>, std::size_t> index_;
  std::map<std::pair<std::size_t, std::size_t>, std::int64_t> links_;
  std::map<std::string, std::string> rack_label_;
  std::int64_t undrawn_ = 0;
};

// Returns the height that is needed.
double Flow::place(double height) {
  const double scale = height / std::max(1.0, nodes_[0].size());
  std::array<double, kStages> y{};
  double needed = height;
  for (Node& node : nodes_) {
    if (!(node.size() > 0.0)) continue;
    node.height = std::max(1.0, node.size() * scale);
    node.y = node.in_y = node.out_y = y[node.stage];
    y[node.stage] += std::max(node.height, kSlot) + kNodeGap;
    needed = std::max(needed, y[node.stage]);
  }
  return needed;
}

std::string Flow::band(const Node& from, const Node& to, double thick, double x0, double x1,
                       std::int64_t uj) const {
  const double y0 = from.out_y, y1 = to.in_y, mid = (x0 + x1) / 2;
  const std::string tip = from.label + " to " + to.label + ": " + energy_text(uj) + ", " +
                          percent_text(static_cast<double>(uj), static_cast<double>(r_.site_uj)) +
                          " of the site";
  return "<path class=\"band " + (to.cls == "n" ? from.cls : to.cls) + "\" d=\"M" + n(x0) + " " + n(y0) +
         "C" + n(mid) + " " + n(y0) + " " + n(mid) + " " + n(y1) + " " + n(x1) + " " + n(y1) + "V" +
         n(y1 + thick) + "C" + n(mid) + " " + n(y1 + thick) + " " + n(mid) + " " + n(y0 + thick) + " " +
         n(x0) + " " + n(y0 + thick) + "Z\">" + svg::title(tip) + "</path>";
}

std::string Flow::draw(double width, double height) {
  const double needed = place(height);
  std::array<bool, kStages> used{};
  for (const Node& node : nodes_) used[node.stage] = used[node.stage] || node.size() > 0.0;
  const auto columns = static_cast<double>(std::count(used.begin(), used.end(), true));
  const double room = few_ ? 92.0 : 190.0;
  const double step = (width - room - kNodeWidth) / std::max(1.0, columns - 1.0);
  std::array<double, kStages> x{};
  double next = 0.0;
  for (std::size_t s = 0; s < kStages; ++s) x[s] = next, next += used[s] ? step : 0.0;
  const double scale = height / std::max(1.0, nodes_[0].size());
  std::string bands, marks;
  for (const auto& [ends, uj] : links_) {  // in the order of the nodes, so that bands cross little
    Node& from = nodes_[ends.first];
    Node& to = nodes_[ends.second];
    const double thick = static_cast<double>(uj) * scale;
    bands += band(from, to, thick, x[from.stage] + kNodeWidth, x[to.stage], uj);
    from.out_y += thick, to.in_y += thick;
  }
  for (const Node& node : nodes_) {
    if (!(node.size() > 0.0)) continue;
    const double y = node.y + std::max(4.0, node.height / 2) + 4.0;
    marks += svg::rect(x[node.stage], node.y, kNodeWidth, node.height, node.cls);
    marks += svg::text_at(x[node.stage] + kNodeWidth + 4, y, node.label, "start", "l b");
    const std::string amount = energy_text(node.energy_uj);
    if (few_ && node.height > 2 * kSlot) {
      marks += svg::text_at(x[node.stage] + kNodeWidth + 4, y + 14, amount, "start", "l b");
    } else if (!few_) {
      // One text, so that a long name pushes its amount aside.
      marks.insert(marks.size() - 7, "<tspan dx=\"6\" class=\"u\">" + amount + "</tspan>");
    }
  }
  return svg::open(width, needed, "Where the site's energy went",
                   "From the site through feeds, UPS and racks to kinds of device and consumers. The table "
                   "below has the values.") +
         bands + marks + "</svg>";
}

}  // namespace

std::string flow_chart(const StoreReport& r, int width, int height, bool few) {
  return r.site_uj <= 0 ? std::string() : Flow(r, few).draw(width, height);
}

std::int64_t undrawn_uj(const StoreReport& r) { return Flow(r, false).undrawn(); }

}  // namespace perjoule::answers
