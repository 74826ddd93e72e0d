#include "plant/power_table.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace perjoule::plant {
namespace {

const std::string kHeader = "dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power\n";

std::string where(const std::string& text, const PowerTableMapping& mapping = {}) {
  const auto read = parse_power_table(text, "t.csv", mapping);
  return read.ok() ? "accepted" : read.error().where;
}

TEST(PowerTable, ReadsZeusColumnsInAnyOrderOfLinesAndEnds) {
  const auto rows =
      parse_power_table(kHeader + "cifar,net,8,adam,100,11.5,86.25\r\n\"c,1\",net,8,adam,250,7,190", "t");
  ASSERT_TRUE(rows.ok()) << rows.error().message();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->at(0).workload, "cifar/net/8/adam");
  EXPECT_EQ(rows->at(0).group, "net");
  EXPECT_EQ(rows->at(0).limit, 100.0);
  EXPECT_EQ(rows->at(0).time.value(), 11.5);
  EXPECT_EQ(rows->at(0).mean_power.value(), 86.25);
  EXPECT_EQ(rows->at(1).workload, "c,1/net/8/adam");
}

TEST(PowerTable, FollowsTheMapping) {
  PowerTableMapping mapping{{"kernel"}, "kernel", "clock", "t", "w"};
  const auto rows = parse_power_table("w,t,clock,kernel\n90,1.5,1200,gemm\n", "t", mapping);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->at(0).limit, 1200.0);
  EXPECT_EQ(rows->at(0).mean_power.value(), 90.0);
  EXPECT_EQ(rows->at(0).group, "gemm");
}

TEST(PowerTable, StepsComeFromTheirColumnOrFromAKnownDataSet) {
  const auto steps = [](const std::string& text) {
    const auto rows = parse_power_table(text, "t", {{"network"}, "network", "cap", "s", "w"});
    return rows.ok() ? rows->at(0).steps : std::optional<double>(-1.0);
  };
  EXPECT_EQ(steps("network,cap,s,w,steps\nx,100,2,90,40\n"), 40.0);
  EXPECT_EQ(steps("network,cap,s,w,dataset,batch_size\nx,100,2,90,cifar100,100\n"), 500.0);
  EXPECT_EQ(steps("network,cap,s,w,dataset,batch_size,steps\nx,100,2,90,cifar100,100,7\n"), 7.0);
  EXPECT_EQ(steps("network,cap,s,w,dataset,batch_size\nx,100,2,90,ours,big\n"), std::nullopt);
  EXPECT_EQ(steps("network,cap,s,w\nx,100,2,90\n"), std::nullopt);
  EXPECT_EQ(steps("network,cap,s,w,steps\nx,100,2,90,0\n"), -1.0);  // refused
  EXPECT_EQ(where(kHeader + "cifar100,b,x8,c,100,1,90\n"), "t.csv:2:12");
}

TEST(PowerTable, NamesThePlaceOfEveryFault) {
  EXPECT_EQ(where(""), "t.csv:1:1");
  EXPECT_EQ(where(kHeader), "t.csv:1:1");
  EXPECT_EQ(where(kHeader + "a,b,8,c,100,1,90\na,b,8,c,100,1,nan\n"), "t.csv:3:15");
  EXPECT_EQ(where(kHeader + "a,b,8,c,100,-1,90\n"), "t.csv:2:13");
  EXPECT_EQ(where(kHeader + "a,b,8,c,0,1,90\n"), "t.csv:2:9");
  EXPECT_EQ(where(kHeader + "a,b,8,c,,1,90\n"), "t.csv:2:9");
  EXPECT_EQ(where(kHeader + "a,,8,c,100,1,90\n"), "t.csv:2:3");
  EXPECT_EQ(where(kHeader + "a,b,8,c,100 W,1,90\n"), "t.csv:2:9");
  EXPECT_EQ(where(kHeader + "a,b,8,c,100,inf,90\n"), "t.csv:2:13");
  EXPECT_EQ(where(kHeader + "a,b,8,c,100,1\n"), "t.csv:2:14");  // cut short
  EXPECT_EQ(where(kHeader + "\"a,b,8,c,100,1,90\n"), "t.csv:2:1");
}

TEST(PowerTable, AMissingColumnSaysWhichAreThere) {
  const auto read = parse_power_table("network,cap\nx,1\n", "t.csv");
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.error().why.find("'dataset'"), std::string::npos);
  EXPECT_NE(read.error().why.find("network, cap"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::plant
