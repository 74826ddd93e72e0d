#include "wire/send_queue.hpp"

#include <gtest/gtest.h>

#include "base/fault_env.hpp"
#include "base/memory_env.hpp"
#include "wire/numbering.hpp"
#include "wire/test_blocks.hpp"

namespace perjoule::wire {
namespace {

constexpr std::uint64_t kMuch = 1 << 20;

Welcome welcome(std::uint64_t stored_through, std::uint32_t blocks = 100) {
  return {1, bus::kMaxBlockBytes, blocks, 0, kMuch, stored_through};
}
bus::Receipt stored(std::uint64_t through) { return {bus::Outcome::kStored, through, {}}; }

SendQueue::Put put(SendQueue& queue, std::uint64_t numbers = 10) {
  std::string block = testing::block_of("s", {0, 1, numbers}, numbers);
  return queue.put(block, numbers);
}
std::uint64_t size_of_block() { return testing::block_of("s", {0, 1, 10}, 10).size(); }

// What next() gives until it gives nothing.
std::vector<SendQueue::Outgoing> send_all(SendQueue& queue) {
  std::vector<SendQueue::Outgoing> out;
  while (auto next = queue.next()) out.push_back(std::move(*next));
  return out;
}
std::vector<Numbers> numbers_in(const std::vector<SendQueue::Outgoing>& sent) {
  std::vector<Numbers> out;
  for (const auto& s : sent) out.push_back(numbers_of(*s.block));
  return out;
}
using List = std::vector<Numbers>;

Spool spool_in(base::Env& env, std::uint64_t bytes = kMuch) {
  return Spool::open(env, "spool", bytes).value();
}

TEST(SendQueue, NumbersGoOnWhereTheServerIs) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  put(queue);
  EXPECT_FALSE(queue.next());  // nobody has said from where to number
  ASSERT_TRUE(queue.connected(welcome(500)).ok());
  put(queue, 5);
  const auto sent = send_all(queue);
  EXPECT_EQ(numbers_in(sent), (List{{500, 501, 510}, {510, 511, 515}}));
  EXPECT_EQ(queue.receipt(sent[0].id, stored(510)), SendQueue::Then::kGoOn);
  EXPECT_EQ(queue.receipt(sent[1].id, stored(515)), SendQueue::Then::kGoOn);
  const auto answers = queue.take_answers();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1].first, 511U);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.stats().memory_bytes, 0U);
}

TEST(SendQueue, LimitsOfTheServerAreKept) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  for (int i = 0; i < 5; ++i) put(queue);
  Welcome w = welcome(0, 2);
  ASSERT_TRUE(queue.connected(w).ok());
  auto sent = send_all(queue);
  ASSERT_EQ(sent.size(), 2U);
  queue.receipt(sent[0].id, stored(10));
  EXPECT_EQ(send_all(queue).size(), 1U);
  queue.disconnected();
  w.max_blocks = 100;
  w.max_bytes = size_of_block() * 3 / 2;
  w.stored_through = 10;
  ASSERT_TRUE(queue.connected(w).ok());
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{10, 11, 20}}));
}

TEST(SendQueue, WhatHasNoReceiptIsSentAgainTheSame) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  for (int i = 0; i < 3; ++i) put(queue);
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  const auto first = send_all(queue);
  queue.disconnected();
  // The first was stored, only its receipt is lost.
  ASSERT_TRUE(queue.connected(welcome(10)).ok());
  const auto again = send_all(queue);
  EXPECT_EQ(numbers_in(again), (List{{10, 11, 20}, {20, 21, 30}}));
  EXPECT_EQ(*again[0].block, *first[1].block);
  EXPECT_EQ(queue.take_answers().front().outcome, bus::Outcome::kAlreadyStored);
  EXPECT_EQ(queue.stats().resent_blocks, 2U);
}

TEST(SendQueue, BusyHoldsEverythingBackUntilTheWaitIsOver) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  for (int i = 0; i < 4; ++i) put(queue);
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  const auto sent = send_all(queue);
  EXPECT_EQ(queue.receipt(sent[1].id, {bus::Outcome::kBusy, 0, "slow"}), SendQueue::Then::kGoOn);
  EXPECT_EQ(queue.receipt(sent[2].id, {bus::Outcome::kRefused, 0, "does not follow"}),
            SendQueue::Then::kGoOn);
  put(queue);
  EXPECT_FALSE(queue.next());
  EXPECT_EQ(queue.receipt(sent[0].id, stored(10)), SendQueue::Then::kGoOn);
  EXPECT_EQ(queue.receipt(sent[3].id, {bus::Outcome::kRefused, 10, "does not follow"}),
            SendQueue::Then::kWait);
  EXPECT_FALSE(queue.next());
  queue.resume();
  const auto probe = send_all(queue);  // one alone, to see whether there is room
  EXPECT_EQ(numbers_in(probe), (List{{10, 11, 20}}));
  EXPECT_EQ(queue.receipt(probe[0].id, stored(20)), SendQueue::Then::kGoOn);
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{20, 21, 30}, {30, 31, 40}, {40, 41, 50}}));
  EXPECT_EQ(queue.stats().refused_blocks, 0U);
}

TEST(SendQueue, ARefusedBlockIsGivenUpAndTheNextDeclaresTheGap) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  for (int i = 0; i < 3; ++i) put(queue);
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  const auto sent = send_all(queue);
  EXPECT_EQ(queue.receipt(sent[0].id, {bus::Outcome::kRefused, 0, "damaged"}), SendQueue::Then::kGoOn);
  EXPECT_EQ(queue.receipt(sent[1].id, {bus::Outcome::kRefused, 0, "does not follow"}),
            SendQueue::Then::kGoOn);
  EXPECT_EQ(queue.receipt(sent[2].id, {bus::Outcome::kRefused, 0, "does not follow"}),
            SendQueue::Then::kGoOn);
  const auto answers = queue.take_answers();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].why, "damaged");
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{0, 11, 20}, {20, 21, 30}}));
}

TEST(SendQueue, AStoppedStoreIsLeft) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  put(queue);
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  EXPECT_EQ(queue.receipt(send_all(queue)[0].id, {bus::Outcome::kStopped, 0, "EIO"}),
            SendQueue::Then::kReconnect);
  queue.disconnected();
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  EXPECT_EQ(send_all(queue).size(), 1U);
}

TEST(SendQueue, AStoreThatLostNumbersIsToldOfTheGap) {
  SendQueue queue(kMuch, WhenFull::kWait, {});
  put(queue);
  ASSERT_TRUE(queue.connected(welcome(100)).ok());
  queue.receipt(send_all(queue)[0].id, stored(110));
  queue.disconnected();
  put(queue);
  ASSERT_TRUE(queue.connected(welcome(100)).ok());
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{100, 111, 120}}));
}

TEST(SendQueue, FullMemoryAsThePolicySays) {
  const std::uint64_t room = size_of_block() * 5 / 2;
  SendQueue waits(room, WhenFull::kWait, {});
  EXPECT_EQ(put(waits), SendQueue::Put::kTaken);
  EXPECT_EQ(put(waits), SendQueue::Put::kTaken);
  EXPECT_EQ(put(waits), SendQueue::Put::kFull);
  ASSERT_TRUE(waits.connected(welcome(0)).ok());
  waits.receipt(send_all(waits)[0].id, stored(10));
  EXPECT_EQ(put(waits), SendQueue::Put::kTaken);
  EXPECT_EQ(numbers_in(send_all(waits)), (List{{20, 21, 30}}));

  SendQueue newest(room, WhenFull::kDropNewest, {});
  put(newest), put(newest);
  EXPECT_EQ(put(newest), SendQueue::Put::kDropped);
  ASSERT_TRUE(newest.connected(welcome(0)).ok());
  const auto sent = send_all(newest);
  newest.receipt(sent[0].id, stored(10));
  put(newest);
  EXPECT_EQ(numbers_in(send_all(newest)), (List{{20, 31, 40}}));
  EXPECT_EQ(newest.stats().dropped_numbers, 10U);

  SendQueue oldest(room, WhenFull::kDropOldest, {});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(put(oldest), SendQueue::Put::kTaken);
  ASSERT_TRUE(oldest.connected(welcome(7)).ok());
  EXPECT_EQ(numbers_in(send_all(oldest)), (List{{7, 28, 37}, {37, 38, 47}}));
  EXPECT_EQ(oldest.stats().dropped_blocks, 2U);
}

// ---- with a spool ----

TEST(SendQueue, ServerAwayTheSpoolHoldsAndReplaysInOrder) {
  base::MemoryEnv env;
  SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
  for (int i = 0; i < 3; ++i) put(queue);
  EXPECT_EQ(queue.stats().memory_bytes, 0U);
  EXPECT_EQ(queue.stats().spooled_blocks, 3U);
  ASSERT_TRUE(queue.connected(welcome(40)).ok());
  put(queue);  // the server is here: this one stays in memory
  const auto sent = send_all(queue);
  EXPECT_EQ(numbers_in(sent), (List{{40, 41, 50}, {50, 51, 60}, {60, 61, 70}, {70, 71, 80}}));
  queue.receipt(sent[0].id, stored(50));
  EXPECT_EQ(env.list("spool").value().size(), 3U);  // two blocks and the session's numbers
  queue.disconnected();
  EXPECT_EQ(env.list("spool").value().size(), 4U);  // the one in memory too
  EXPECT_EQ(queue.stats().memory_bytes, 0U);
}

TEST(SendQueue, ANewProcessSendsWhatTheLastOneLeftWithTheSameNumbers) {
  base::MemoryEnv env;
  {
    SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
    put(queue), put(queue);
    ASSERT_TRUE(queue.connected(welcome(100)).ok());
    send_all(queue);  // and the process dies: the server has stored the first
  }
  {
    SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
    put(queue);  // a second process that never meets the server
  }
  SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
  put(queue);
  ASSERT_TRUE(queue.connected(welcome(110)).ok());
  put(queue);
  const auto sent = send_all(queue);
  EXPECT_EQ(numbers_in(sent), (List{{110, 111, 120}, {120, 121, 130}, {130, 131, 140}, {140, 141, 150}}));
  for (std::size_t i = 0; i < sent.size(); ++i) queue.receipt(sent[i].id, stored(120 + 10 * i));
  EXPECT_TRUE(queue.take_answers().size() == 5 && queue.empty());
  queue.disconnected();
  ASSERT_TRUE(queue.connected(welcome(150)).ok());
  EXPECT_EQ(env.list("spool").value(), std::vector<std::string>{"0000000003.numbers"});
}

TEST(SendQueue, AProcessThatDiesBetweenGreetingAndSendingKeepsItsNumbers) {
  // At every step of the disk: what is sent after the restart has numbers that nothing else had.
  for (std::uint64_t step = 1;; ++step) {
    base::MemoryEnv env;
    SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
    const std::uint64_t before = env.steps();
    put(queue), put(queue);
    ASSERT_TRUE(queue.connected(welcome(100)).ok());
    const auto sent = numbers_in(send_all(queue));
    if (before + step > env.steps()) break;
    const auto after = env.after_crash(before + step, base::CrashChoice::nothing_unsynced());
    SendQueue next(kMuch, WhenFull::kWait, spool_in(*after));
    ASSERT_TRUE(next.connected(welcome(100)).ok());
    const auto again = numbers_in(send_all(next));
    ASSERT_LE(again.size(), sent.size());
    for (std::size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i], sent[i]) << step;
  }
}

TEST(SendQueue, AFullSpoolDropsAndDeclares) {
  base::MemoryEnv env;
  const std::uint64_t room = size_of_block() * 5 / 2;
  {
    SendQueue queue(0, WhenFull::kDropNewest, spool_in(env, room));
    EXPECT_EQ(put(queue), SendQueue::Put::kTaken);
    EXPECT_EQ(put(queue), SendQueue::Put::kTaken);
    EXPECT_EQ(put(queue), SendQueue::Put::kDropped);
  }
  {
    SendQueue queue(kMuch, WhenFull::kDropNewest, spool_in(env, room));
    ASSERT_TRUE(queue.connected(welcome(0)).ok());
    put(queue);
    EXPECT_EQ(numbers_in(send_all(queue)), (List{{0, 1, 10}, {10, 11, 20}, {20, 31, 40}}));
  }
  base::MemoryEnv other;
  SendQueue queue(0, WhenFull::kDropOldest, spool_in(other, room));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(put(queue), SendQueue::Put::kTaken);
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{0, 21, 30}, {30, 31, 40}}));
}

TEST(SendQueue, ADiskThatFailsLeavesBlocksInMemory) {
  base::MemoryEnv memory;
  base::FaultEnv env(memory);
  SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
  env.fail_from(1, base::io_error("write", "spool", "no space left"));
  EXPECT_EQ(put(queue), SendQueue::Put::kTaken);
  EXPECT_GT(queue.stats().memory_bytes, 0U);
  EXPECT_NE(queue.stats().spool_fault, "");
  // Without a durable base nothing may be sent: after a restart it could get other numbers.
  EXPECT_FALSE(queue.connected(welcome(0)).ok());
  env.fail_from(0, {});
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  EXPECT_EQ(send_all(queue).size(), 1U);
}

TEST(SendQueue, ADamagedSpoolFileIsReportedAndLeftOut) {
  base::MemoryEnv env;
  {
    SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
    put(queue), put(queue);
  }
  const auto names = env.list("spool").value();
  std::string bytes = env.read_file("spool/" + names[0]).value();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(base::write_atomically(env, "spool/" + names[0], bytes).ok());
  SendQueue queue(kMuch, WhenFull::kWait, spool_in(env));
  ASSERT_TRUE(queue.connected(welcome(0)).ok());
  EXPECT_EQ(numbers_in(send_all(queue)), (List{{0, 11, 20}}));
  EXPECT_EQ(queue.take_answers()[0].outcome, bus::Outcome::kRefused);
}

}  // namespace
}  // namespace perjoule::wire
