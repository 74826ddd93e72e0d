#include "wire/door.hpp"

#include <gtest/gtest.h>

namespace perjoule::wire {
namespace {

const std::string kOne = "0123456789abcdef", kTwo = "fedcba9876543210";

bool opens(const std::string& address, bool certificate, bool key, bool tokens) {
  return check_door({address, certificate ? "cert" : "", key ? "key" : "", tokens}).ok();
}

TEST(Door, IsOpenToTheLoopbackOrWithTlsAndAToken) {
  for (const char* address : {"127.0.0.1", "127.8.8.8", "::1"})
    EXPECT_TRUE(opens(address, false, false, false)) << address;
  for (const char* address : {"0.0.0.0", "::", "10.0.0.1"}) {
    EXPECT_FALSE(opens(address, false, false, false)) << address;
    EXPECT_FALSE(opens(address, true, true, false)) << address;
    EXPECT_FALSE(opens(address, false, false, true)) << address;
    EXPECT_TRUE(opens(address, true, true, true)) << address;
  }
  EXPECT_FALSE(opens("localhost", true, true, true));
  EXPECT_FALSE(opens("127.0.0.1", true, false, true));
  EXPECT_FALSE(opens("127.0.0.1", false, true, true));
}

TEST(Tokens, AreOneALine) {
  const auto tokens = read_tokens("# of this year\n  " + kOne + " \r\n\n" + kTwo, "file");
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(*tokens, (std::vector<std::string>{kOne, kTwo}));
  EXPECT_FALSE(read_tokens("", "file").ok());
  EXPECT_FALSE(read_tokens("# nothing\n\n", "file").ok());
  EXPECT_TRUE(read_tokens(std::string(kMaxTokenBytes, 'x'), "file").ok());
  EXPECT_FALSE(read_tokens(std::string(kMaxTokenBytes + 1, 'x'), "file").ok());
  const auto weak = read_tokens(kOne + "\nhunter2\n", "file");
  ASSERT_FALSE(weak.ok());
  EXPECT_EQ(weak.error().message().find("hunter2"), std::string::npos);
}

TEST(Tokens, OpenOnlyAsAWhole) {
  const TokenSet tokens({kOne, kTwo});
  EXPECT_TRUE(tokens.holds(kOne));
  EXPECT_TRUE(tokens.holds(kTwo));
  for (const std::string& wrong : {std::string(), kOne + "0", kOne.substr(1), kOne + kTwo, kOne + "\n"})
    EXPECT_FALSE(tokens.holds(wrong)) << wrong;
  EXPECT_TRUE(TokenSet().empty());
  EXPECT_FALSE(TokenSet().holds(""));
}

}  // namespace
}  // namespace perjoule::wire
