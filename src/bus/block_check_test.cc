// check() judges columns without decoding them; read_all() decodes. Both must come to the same verdict.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/rng.hpp"
#include "bus/block.hpp"
#include "bus/block_layout.hpp"
#include "bus/lane_packing.hpp"
#include "bus/mend_checksums_include.hpp"
#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

// Both verdicts of a block whose header is sound.
struct Verdicts {
  std::uint64_t sound = 0, unsound = 0;
};

void judge(const std::string& bytes, Verdicts& verdicts) {
  const auto view = BlockView::open(bytes, "test");
  if (!view.ok()) return;
  const base::Status looked = view->check();
  const auto decoded = view->read_all();
  ASSERT_EQ(looked.ok(), decoded.ok())
      << (looked.ok() ? decoded.error().message() : looked.error().message());
  ++(looked.ok() ? verdicts.sound : verdicts.unsound);
}

// Rows like an agent's: times that step, late or not, texts that repeat, a decimal, a NULL here and there.
std::string agent_block(std::size_t rows, bool late, base::Rng& rng) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kSamples, symbols, rows);
  energy::SampleRow row;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto n = static_cast<std::int64_t>(i);
    row.t_ns = 1'700'000'000'000'000'000 + n * 1'000 - (late && rng.next() % 100 == 0 ? 300'000'000'000 : 0);
    row.device = symbols.intern("gpu" + std::to_string(rng.next() % 7));
    row.signal = symbols.intern("power");
    row.value = static_cast<double>(rng.next() % 1'000) / 8;
    row.source = rng.next() % 9 == 0 ? energy::Symbol{} : symbols.intern("agent");
    row.seq = n + 1;
    builder.append(row);
  }
  return encode_block(Table::kSamples, builder.take(), {"agent", 0, 1, rows}).value();
}

TEST(BlockCheck, FindsSoundWhatCanBeReadAndNothingElse) {
  base::Rng rng(5);
  Verdicts verdicts;
  for (const std::size_t rows : {1UL, 3UL, 1'024UL, 1'025UL, 3'000UL}) {
    for (const bool late : {false, true}) {
      const std::string whole = agent_block(rows, late, rng);
      judge(whole, verdicts);
      ASSERT_EQ(verdicts.unsound, 0U) << rows << " rows";
    }
  }
  // One byte, a head's or a payload's, in blocks that are small enough for every head to be hit often.
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = agent_block(1 + rng.next() % 40, round % 2 == 0, rng);
    bytes[rng.next() % bytes.size()] = static_cast<char>(rng.next());
    testing::mend_checksums(bytes);
    judge(bytes, verdicts);
  }
  // Without many of either there would be nothing shown.
  EXPECT_GT(verdicts.sound, 1'000U);
  EXPECT_GT(verdicts.unsound, 1'000U);
}

TEST(BlockCheck, FindsTimesThatTheHeaderDoesNotState) {
  base::Rng rng(6);
  std::string bytes = agent_block(2'000, false, rng);
  BlockHead head;
  std::memcpy(&head, bytes.data(), sizeof head);
  for (const std::int64_t wrong : {-1, 1}) {
    BlockHead other = head;
    other.last_ns += wrong;
    std::memcpy(bytes.data(), &other, sizeof other);
    testing::mend_checksums(bytes);
    const auto view = BlockView::open(bytes, "test");
    ASSERT_TRUE(view.ok());
    EXPECT_NE(view->check().error().message().find("its times are not the ones"), std::string::npos);
  }
}

TEST(LanePacking, FindsTheLargestOfEveryWidth) {
  base::Rng rng(7);
  for (unsigned width = 1; width <= 32; ++width) {
    for (const std::size_t n : {1UL, 1'024UL, 2'500UL}) {
      std::vector<std::uint32_t> values(n);
      for (auto& v : values) v = static_cast<std::uint32_t>(rng.next() >> 32) >> (32 - width);
      std::string bytes;
      pack(std::span<const std::uint32_t>(values), width, bytes);
      ASSERT_EQ(largest_packed(bytes, width), *std::max_element(values.begin(), values.end()));
    }
  }
}

}  // namespace
}  // namespace perjoule::bus
