// The benchmark's questions put to our own engine. Thread rule: one question at a time per session.
#pragma once

#include "bench/bus/peers/peer.hpp"
#include "bus/queries.hpp"

namespace perjoule::bench {

// `rollups` false: Q6 from the rows alone.
base::Result<Answer> ask_perjoule(bus::QuerySession& session, QueryId id, const QueryParams& params,
                                  bool rollups = true);

// A store of the whole stream, everything sealed, if the folder has none.
base::Status make_perjoule_store(const GeneratorOptions& stream, const std::string& directory);

}  // namespace perjoule::bench
