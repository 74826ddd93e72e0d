// Random rows of every table for the store's tests: all kinds of absence, extreme numbers, few and many
// names. Thread rule: one thread. Ownership: values.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "energy/records.hpp"

namespace perjoule::bus::testing {

class RowMaker {
 public:
  RowMaker(base::SymbolTable& symbols, std::uint64_t seed) : symbols_(symbols), state_(seed) {}

  // splitmix64, so that the tests' rows do not depend on the generator under base/.
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  std::int64_t integer() {
    switch (below(8)) {
      case 0:
        return std::numeric_limits<std::int64_t>::min();
      case 1:
        return std::numeric_limits<std::int64_t>::max();
      case 2:
        return static_cast<std::int64_t>(next());
      case 3:
        return 0;
      default:
        return static_cast<std::int64_t>(below(1000)) - 500;
    }
  }
  std::int64_t time_or_null() {
    return below(3) == 0 ? energy::kNoTime : static_cast<std::int64_t>(below(1u << 30));
  }
  double real() {
    switch (below(6)) {
      case 0:
        return energy::kAbsent;
      case 1:
        return -0.0;
      case 2:
        return std::numeric_limits<double>::infinity();
      case 3:
        return std::numeric_limits<double>::denorm_min();
      default:
        return static_cast<double>(below(1u << 20)) / 7.0;
    }
  }
  base::Symbol name(std::string prefix, std::uint64_t choices) {
    if (below(5) == 0) return {};
    return symbols_.intern(prefix + std::to_string(below(choices)));
  }
  // From the state as it stands, so that rows are the same as before there were phases.
  base::Symbol phase() {
    return state_ % 3 == 0 ? base::Symbol{} : symbols_.intern(state_ % 3 == 1 ? "prefill" : "decode");
  }
  energy::Quality quality() { return static_cast<energy::Quality>(below(5)); }
  bool flag() { return below(2) == 1; }

  energy::MeterRow meter() {
    return {integer(),         integer(),    integer(),    name("m", 9), name("p", 3),
            name("site é", 1), name("r", 2), name("n", 4), name("d", 9), name("k", 5),
            name("z", 4),      integer(),    quality(),    name("s", 2), integer()};
  }
  energy::JouleRow joule() {
    energy::Consumer c{name("t", 3),   name("j", 9),        name("mo", 3), name("ru", 2), name("e", 2),
                       name("st", 50), name("req", 100000), name("k", 20), phase()};
    return {integer(),
            integer(),
            integer(),
            name("m", 9),
            name("d", 9),
            integer(),
            static_cast<energy::Share>(below(4)),
            quality(),
            name("rule", 2),
            integer(),
            c,
            name("s", 2),
            integer()};
  }
  energy::SampleRow sample() {
    return {integer(), name("d", 9), name("sig", 127), real(), quality(), real(), name("s", 2), integer()};
  }
  energy::RequestRow request() {
    return {name("req", 100000), name("t", 3), name("mo", 3), integer(), integer(), integer(),
            integer(),           real(),       real(),        flag(),    integer(), real()};
  }
  energy::JobRow job() {
    return {name("j", 1000), name("t", 3),   name("mo", 3),  integer(), integer(),
            integer(),       time_or_null(), time_or_null(), integer(), real()};
  }
  energy::DecisionRow decision() {
    return {name("dec", 1000), integer(), name("p", 2), name("ta", 9),  name("a", 3), real(), real(), next(),
            name("w", 3),      integer(), integer(),    time_or_null(), name("o", 3), flag()};
  }
  energy::CarbonRow carbon() {
    return {integer(), integer(), name("reg", 3), static_cast<energy::CarbonKind>(below(2)),
            real(),    quality(), name("s", 2)};
  }

 private:
  base::SymbolTable& symbols_;
  std::uint64_t state_;
};

}  // namespace perjoule::bus::testing
