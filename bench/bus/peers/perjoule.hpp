// The benchmark's questions put to our own engine. Thread rule: one question at a time per session.
#pragma once

#include "bench/bus/peers/peer.hpp"
#include "bus/queries.hpp"

namespace perjoule::bench {

base::Result<Answer> ask_perjoule(bus::QuerySession& session, QueryId id, const QueryParams& params);

}  // namespace perjoule::bench
