// Brings a store's catalogue to this perjoule's format (docs/formats/store.md, Upgrading). Files stay as they
// are; only what the manifest says of them grows. Nothing is written here: the caller replaces the manifest,
// which is the moment of change. Thread rule: one thread. Ownership: the Env must outlive the call.
#pragma once

#include <string>

#include "base/env.hpp"
#include "bus/manifest.hpp"

namespace perjoule::bus {

// Format 1 has no hash of the files' ends: they are computed, after the whole file was compared with its
// hash. Nothing happens to a manifest of this format. Errors: kCorrupt for a file that is not what the
// manifest says, kMissing, kIo.
base::Status upgrade_manifest(base::Env& env, const std::string& directory, Manifest& manifest);

}  // namespace perjoule::bus
