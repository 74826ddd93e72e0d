// Minimum of a function of a few variables without derivatives: the simplex search of Nelder and Mead (1965)
// with the usual coefficients. Local: it finds the valley it starts in. Thread rule: pure given a pure
// function. Deterministic.
#pragma once

#include <functional>
#include <vector>

namespace perjoule::math {

using Objective = std::function<double(const std::vector<double>& point)>;

// `start` must not be empty; `step` is the first edge in every direction, in the variables' common unit;
// `rounds` bounds the work (about two calls of the objective each). Returns the best vertex.
std::vector<double> simplex_search(const Objective& objective, const std::vector<double>& start, double step,
                                   int rounds);

}  // namespace perjoule::math
