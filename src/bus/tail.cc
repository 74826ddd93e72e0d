#include "bus/tail.hpp"

#include "bus/log_layout.hpp"

namespace perjoule::bus {

base::Result<std::shared_ptr<const std::string>> bytes_of(base::Env& env, const std::string& log_directory,
                                                          const TailBlock& block) {
  if (block.bytes != nullptr) return block.bytes;
  PJ_ASSIGN(const auto file,
            env.open_log_for_reading(log_directory + "/" + log_segment_name(block.place.segment)));
  std::string bytes(block.place.bytes, '\0');
  PJ_TRY(file->read(block.place.offset, bytes));
  return std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace perjoule::bus
