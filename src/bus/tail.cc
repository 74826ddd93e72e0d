#include "bus/tail.hpp"

#include "bus/log_layout.hpp"

namespace perjoule::bus {

base::Result<std::shared_ptr<const std::string>> TailReader::bytes_of(const TailBlock& block) {
  if (block.bytes != nullptr) return block.bytes;
  if (segment_ == nullptr || number_ != block.place.segment) {
    number_ = block.place.segment;
    PJ_ASSIGN(segment_, env_.open_log_for_reading(log_directory_ + "/" + log_segment_name(number_)));
  }
  std::string bytes(block.place.bytes, '\0');
  PJ_TRY(segment_->read(block.place.offset, bytes));
  return std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace perjoule::bus
