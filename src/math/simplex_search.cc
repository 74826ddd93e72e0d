#include "math/simplex_search.hpp"

#include <algorithm>
#include <cstddef>

#include "base/assert.hpp"

namespace perjoule::math {
namespace {

struct Vertex {
  std::vector<double> at;
  double cost = 0.0;
};

bool lower(const Vertex& a, const Vertex& b) { return a.cost < b.cost; }

std::vector<double> blend(const std::vector<double>& centre, const std::vector<double>& other, double k) {
  std::vector<double> out(centre.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = centre[i] + k * (other[i] - centre[i]);
  return out;
}

// Of all vertices but the last.
std::vector<double> centroid(const std::vector<Vertex>& s) {
  std::vector<double> out(s.front().at.size(), 0.0);
  for (std::size_t v = 0; v + 1 < s.size(); ++v) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += s[v].at[i] / static_cast<double>(s.size() - 1);
  }
  return out;
}

// The best of reflection, expansion and contraction of the worst vertex; `s` is sorted.
Vertex replacement(const Objective& f, const std::vector<Vertex>& s) {
  const auto centre = centroid(s);
  const auto tried = [&](double k) {
    auto at = blend(centre, s.back().at, k);
    const double cost = f(at);
    return Vertex{std::move(at), cost};
  };
  Vertex next = tried(-1.0);
  if (next.cost < s.front().cost) {
    Vertex further = tried(-2.0);
    return lower(further, next) ? further : next;
  }
  if (next.cost < s[s.size() - 2].cost) return next;
  return tried(lower(next, s.back()) ? -0.5 : 0.5);
}

}  // namespace

std::vector<double> simplex_search(const Objective& objective, const std::vector<double>& start, double step,
                                   int rounds) {
  PJ_CHECK(!start.empty());
  std::vector<Vertex> s{{start, objective(start)}};
  for (std::size_t i = 0; i < start.size(); ++i) {
    Vertex v{start, 0.0};
    v.at[i] += step;
    v.cost = objective(v.at);
    s.push_back(std::move(v));
  }
  for (int round = 0; round < rounds; ++round) {
    std::stable_sort(s.begin(), s.end(), lower);
    Vertex next = replacement(objective, s);
    if (lower(next, s.back())) {
      s.back() = std::move(next);
      continue;
    }
    for (std::size_t v = 1; v < s.size(); ++v) {
      s[v].at = blend(s.front().at, s[v].at, 0.5);
      s[v].cost = objective(s[v].at);
    }
  }
  return std::min_element(s.begin(), s.end(), lower)->at;
}

}  // namespace perjoule::math
