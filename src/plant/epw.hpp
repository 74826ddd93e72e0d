// Weather from EnergyPlus weather files (EPW), plain or gzip: one climate year of hours, read strictly, asked
// at any time of any year.
//
// An EPW row carries the values at the *end* of its hour, in local standard time (no summer time); the zone
// offset of the LOCATION line turns that into UTC. A typical year stands for every year: a simulated hour
// takes the row of the same month, day and hour, whatever the row's own year. 29 February takes the row of 28
// February when the file has 8,760 hours. Between two hours everything is linear, across the end of the year
// too. The wet bulb is exact at each hour (true psychrometric relation at station pressure, from the dew
// point) and linear between; a dew point above the dry bulb is read as saturated air.
//
// Thread rule: immutable after reading, shared freely. Ownership: the series owns its values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

struct WeatherSample {
  base::Celsius dry_bulb;
  base::Celsius dew_point;
  double relative_humidity = 0.0;  // %, as the file has it
  base::Pascals pressure;          // at the station
  base::Celsius wet_bulb;
};

struct WeatherLocation {
  std::string city, region, country;
  double latitude = 0.0, longitude = 0.0;  // degrees, north and east positive
  base::Duration utc_offset;               // local standard time - UTC
  double elevation_m = 0.0;
};

class WeatherSeries {
 public:
  // `name` stands in error places. Errors (bad_input at name:line): a header that is not the eight EPW lines,
  // more than one record per hour, not exactly 8,760 or 8,784 hours in order, a field that is no number,
  // missing (99.9, 999, 999999) or outside the format's range, a row with another number of fields than the
  // first.
  static base::Result<WeatherSeries> parse(std::string_view text, const std::string& name);
  static base::Result<WeatherSeries> read(base::Env& env, const std::string& path);

  // Any time more than a day from the ends of TimePoint (PJ_CHECK), so kNever is refused.
  WeatherSample at(base::TimePoint t) const;
  const WeatherLocation& location() const { return location_; }
  // The hourly rows in file order.
  const std::vector<WeatherSample>& hours() const { return hours_; }

 private:
  std::size_t row_ending_at(std::int64_t local_hour) const;

  WeatherLocation location_;
  std::vector<WeatherSample> hours_;
};

}  // namespace perjoule::plant
