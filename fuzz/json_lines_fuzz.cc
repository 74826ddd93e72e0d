// Any text as JSON lines of any table (the first byte chooses): rows that make a sound block, or one error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/json_lines.hpp"
#include "bus/block.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace bus = perjoule::bus;
  if (size == 0) return 0;
  const auto table = static_cast<bus::Table>(data[0] % bus::kEventTables);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto rows = perjoule::api::read_json_lines(table, text, "source", 1);
  if (!rows.ok()) return 0;
  // Texts that are no UTF-8 do not pass the JSON parser, so only the size can be wrong.
  const auto block = bus::encode_block(table, rows->batch, {"source", 0, 1, rows->batch.rows});
  if (!block.ok()) std::abort();
  const auto view = bus::BlockView::open(*block, "block");
  if (!view.ok() || !view->check().ok() || view->rows() != rows->batch.rows) std::abort();
  return 0;
}
