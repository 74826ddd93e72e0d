#include "compose/scenario.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "plant/training.hpp"

namespace perjoule::compose {
namespace {

// Files from memory; nothing can be written.
class MemoryEnv final : public base::Env {
 public:
  std::map<std::string, std::string> files;

  base::Result<std::string> read_file(const std::string& path, std::uint64_t) override {
    const auto it = files.find(path);
    if (it == files.end()) return base::missing("read a file", path, "it is not there");
    return it->second;
  }
  base::Result<std::unique_ptr<base::PendingFile>> create(const std::string& path) override {
    return refused(path);
  }
  base::Status create_directories(const std::string& path) override { return refused(path); }
  base::Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> out;
    for (const auto& [path, text] : files) {
      if (path.starts_with(directory + "/")) out.push_back(path.substr(directory.size() + 1));
    }
    return out;
  }
  base::Status remove(const std::string& path) override { return refused(path); }
  bool exists(const std::string& path) override { return files.contains(path); }

 private:
  static base::Error refused(const std::string& path) {
    return base::io_error("write a file", path, "read-only");
  }
};

const char* const kHead = R"(name = "t"
start = "2026-05-01T00:00:00Z"
hours = 1
)";
const char* const kHall = R"([[feed]]
name = "f"
[[rack]]
name = "r"
feed = "f"
[[node]]
name = "serve"
rack = "r"
role = "serve"
[[node]]
name = "train"
count = 2
racks = ["r*"]
gpus = 4
role = "train"
[[service]]
name = "chat"
model = "Llama-3.1-8B-Instruct"
nodes = ["serve*"]
)";

base::Result<Scenario> parse(const std::string& text, const ScenarioChanges& changes = {}) {
  MemoryEnv env;
  env.files["d/jobs.csv"] =
      "arrival_time,length,cpus\n0.0,100.0,1\n600.0,50.0,4\n1200.0,25.0,2\n4000.0,10.0,9\n";
  env.files["d/large.csv"] = "arrival_time,length,cpus\n0.0,100.0,5\n";
  env.files["d/conv.csv"] =
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,10,5\n2023-11-16 18:00:10,20,6\n";
  return parse_scenario(env, text, "s.toml", "d", changes);
}
std::string whole(const std::string& extra = {}) { return std::string(kHead) + kHall + extra; }

// The error of `text`, as "where|why|hint".
std::string error_of(const std::string& text) {
  const auto s = parse(text);
  if (s.ok()) return "no error";
  return s.error().where + "|" + s.error().why + "|" + s.error().hint;
}

TEST(Scenario, ReadsAHall) {
  const auto s = parse(whole());
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->name, "t");
  EXPECT_EQ(s->length.ns, base::kNsPerHour);
  EXPECT_EQ(s->hall.window.ns, 30 * base::kNsPerSecond);
  EXPECT_EQ(base::format_iso8601(s->hall.start), "2026-05-01T00:00:00Z");
  ASSERT_EQ(s->hall.nodes.size(), 3U);
  EXPECT_EQ(s->hall.nodes[1].name, "train-01");
  EXPECT_EQ(s->hall.nodes[2].name, "train-02");
  EXPECT_TRUE(s->hall.nodes[2].trains);
  EXPECT_EQ(s->hall.nodes[2].gpus, 4);
  ASSERT_EQ(s->hall.services.size(), 1U);
  EXPECT_EQ(s->hall.services[0].model, "meta-llama/Llama-3.1-8B-Instruct");
  EXPECT_EQ(s->hall.services[0].nodes, std::vector<std::string>{"serve"});
  EXPECT_FALSE(s->requests.trace);
  EXPECT_FALSE(make_request_stream(*s));
}

TEST(Scenario, SpreadsNodesOverRacksInTurn) {
  const auto s = parse(std::string(kHead) + R"([[feed]]
name = "f"
[[rack]]
name = "r"
count = 3
feed = "f"
[[node]]
name = "n"
count = 100
racks = ["r-03", "r-01"]
role = "train"
)");
  ASSERT_TRUE(s.ok()) << s.error().message();
  ASSERT_EQ(s->hall.nodes.size(), 100U);
  EXPECT_EQ(s->hall.racks.size(), 3U);
  EXPECT_EQ(s->hall.nodes[0].name, "n-001");
  EXPECT_EQ(s->hall.nodes[0].rack, "r-03");
  EXPECT_EQ(s->hall.nodes[1].rack, "r-01");
  EXPECT_EQ(s->hall.nodes[99].name, "n-100");
}

TEST(Scenario, WrongInputsSayWhereAndWhatToType) {
  const std::string hall = kHall;
  const auto with_head = [&](const std::string& head) { return error_of(head + hall); };
  EXPECT_EQ(error_of("seeed = 1\n"), "s.toml:1:1|unknown key 'seeed'|Did you mean 'seed'?");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=0\n"),
            "s.toml:3:7|'hours' is 0|It must be above 0, at most 8784");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=-3\n"),
            "s.toml:3:7|'hours' is -3|It must be above 0, at most 8784");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=8785\n"),
            "s.toml:3:7|'hours' is 8785|It must be above 0, at most 8784");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=nan\n"),
            "s.toml:3:7|'hours' is nan|It must be above 0, at most 8784");
  EXPECT_EQ(
      with_head("name=\"t\"\nstart=\"2026-05-01\"\nlength=\"24 hours\"\n"),
      "s.toml:3:8|'24 hours': needs a number and one of ns us ms s m h d|Write it as 30s, 5m, 24h or 3d");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=1\nwindow=\"7s\"\n"),
            "s.toml:3:7|the length is not a whole number of windows of 7 s|Change 'window' or the length");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"soon\"\nhours=1\n"),
            "s.toml:2:7|'soon': not an ISO 8601 time|Write it as 2026-05-01T13:00:00Z");
  EXPECT_EQ(with_head("name=\"a/b\"\nstart=\"2026-05-01\"\nhours=1\n"),
            "s.toml:1:6|'a/b' is no name|Use up to 64 letters, digits, '.', '_' and '-'");
  EXPECT_EQ(with_head("name=\"t\"\nstart=\"2026-05-01\"\nhours=1\nkernel_sample=1.5\n"),
            "s.toml:4:15|'kernel_sample' is 1.5|It must be from 0 to 1");
  EXPECT_EQ(error_of("name = \n").substr(0, 9), "s.toml:1:");
}

TEST(Scenario, WrongHallsSayWhereAndWhatToType) {
  // kHead has 3 lines, kHall 19: a section added after them starts at line 23.
  EXPECT_EQ(error_of(whole("[[node]]\nname=\"serve\"\nrack=\"r\"\nrole=\"train\"\n")),
            "s.toml:24:6|node 'serve' is there twice|Give it another name");
  EXPECT_EQ(error_of(whole("[[rack]]\nname=\"q\"\n")),
            "s.toml:23:1|'feed' is missing|Every rack hangs on a feed: add feed = \"...\"");
  EXPECT_EQ(error_of(whole("[[rack]]\nname=\"q\"\nfeed=\"g\"\n")),
            "s.toml:25:6|feed 'g' does not exist|Did you mean 'f'?");
  EXPECT_EQ(error_of(whole("[[node]]\nname=\"x\"\nrack=\"rr\"\nrole=\"train\"\n")),
            "s.toml:25:6|rack 'rr' does not exist|Did you mean 'r'?");
  EXPECT_EQ(error_of(whole("[[node]]\nname=\"x\"\nrack=\"r\"\nrole=\"trains\"\n")),
            "s.toml:26:6|'trains' is no role|Did you mean 'train'?");
  EXPECT_EQ(error_of(whole("[[node]]\nname=\"x\"\ncount=100001\nrack=\"r\"\nrole=\"train\"\n")),
            "s.toml:25:7|'count' is 100001|It must be from 1 to 100000");
  EXPECT_EQ(error_of(whole("[[service]]\nname=\"b\"\nmodel=\"Llama-3.1-8B-Instruc\"\nnodes=[\"serve\"]\n")),
            "s.toml:25:7|unknown model 'Llama-3.1-8B-Instruc'|Did you mean 'Llama-3.1-8B-Instruct'?");
  EXPECT_EQ(error_of(whole("[[service]]\nname=\"b\"\nmodel=\"gpt-j-6b\"\nnodes=[\"train-01\"]\n")),
            "s.toml:26:7|node 'train-01' trains, it does not serve|Change its role to \"serve\"");
  EXPECT_EQ(error_of(whole("[[service]]\nname=\"b\"\nmodel=\"gpt-j-6b\"\nnodes=[\"serve\"]\n")),
            "s.toml:26:7|node 'serve' already serves 'chat'|Give each node one service");
  EXPECT_EQ(
      error_of(whole("[[service]]\nname=\"b\"\nmodel=\"gpt-j-6b\"\ntensor_parallel=3\nnodes=[\"serve\"]\n")),
      "s.toml:26:17|'tensor_parallel' is 3, node 'serve' has 8 GPUs|It must divide the GPUs of a node");
}

TEST(Scenario, WrongSourcesSayWhereAndWhatToType) {
  EXPECT_EQ(error_of(whole("[requests]\nfile=\"con.csv\"\nformat=\"azure\"\n")),
            "s.toml:24:6|file 'con.csv' is not there|Did you mean 'conv.csv'?");
  EXPECT_EQ(parse(whole("[requests]\nfile=\"con.csv\"\nformat=\"azure\"\n")).error().kind,
            base::ErrorKind::kMissing);
  EXPECT_EQ(error_of(whole("[requests]\nfile=\"conv.csv\"\nformat=\"azur\"\n")),
            "s.toml:25:8|unknown format 'azur'|Did you mean 'azure'?");
  EXPECT_EQ(error_of(whole("[requests]\nfile=\"conv.csv\"\nformat=\"azure\"\nprofile=[1,2]\n")),
            "s.toml:26:9|'profile' has 2 numbers|Give 24, one for each UTC hour");
  EXPECT_EQ(error_of(whole("[requests]\nlist=[{at=\"5s\",input=1,output=1},{at=\"4s\",input=1,output=1}]\n")),
            "s.toml:24:38|times go backwards|Write the list in order of 'at'");
  EXPECT_EQ(error_of(whole("[jobs]\nlist=[{name=\"j\",at=\"0s\",profile=\"vit-larg\",work=\"1s\"}]\n")),
            "s.toml:24:33|unknown profile 'vit-larg'|Did you mean 'vit-large'?");
  EXPECT_EQ(
      error_of(whole("[jobs]\nlist=[{name=\"j\",at=\"0s\",gpus=5,profile=\"vit-large\",work=\"1s\"}]\n")),
      "s.toml:24:30|'gpus' is 5|It must be from 1 to 4");
  EXPECT_EQ(error_of(whole("[jobs]\nfile=\"large.csv\"\nformat=\"gaia_pai_1k\"\n")),
            "s.toml:24:6|job 1 of the trace needs 5 GPUs, the largest node that trains has 4|A job runs on "
            "one node: add a larger one");
  EXPECT_EQ(error_of(whole("[site]\ncarbon=[{region=\"X\",g_per_kwh=-1}]\n")),
            "s.toml:24:31|'g_per_kwh' is -1|It must be from 0 to 3000");
}

TEST(Scenario, TraceJobsBeforeTheEndAreTakenAndCopied) {
  const auto once = parse(whole("[jobs]\nfile=\"jobs.csv\"\nformat=\"gaia_pai_1k\"\n"));
  ASSERT_TRUE(once.ok()) << once.error().message();
  ASSERT_EQ(once->hall.jobs.size(), 3U);  // the one at 4000 s is after the hour, so its 9 GPUs do not matter
  EXPECT_EQ(once->hall.jobs[1].name, "job-2");
  EXPECT_EQ((once->hall.jobs[1].submit - once->hall.start).ns, 600 * base::kNsPerSecond);
  EXPECT_EQ(once->hall.jobs[1].gpus, 4);
  EXPECT_EQ(once->hall.jobs[1].work_seconds, 50.0);

  const auto twice = parse(whole("[jobs]\nfile=\"jobs.csv\"\nformat=\"gaia_pai_1k\"\nrepeat=2\n"));
  ASSERT_TRUE(twice.ok()) << twice.error().message();
  ASSERT_EQ(twice->hall.jobs.size(), 6U);
  std::set<std::string> names;
  for (std::size_t i = 0; i < 6; ++i) {
    const auto& job = twice->hall.jobs[i];
    names.insert(job.name);
    EXPECT_LT(job.profile, plant::training_profiles().size());
    if (i > 0) {
      EXPECT_LE(twice->hall.jobs[i - 1].submit, job.submit);
    }
  }
  EXPECT_EQ(names.size(), 6U);
  // The first copy draws what the job drew alone.
  for (const auto& job : once->hall.jobs) {
    for (const auto& other : twice->hall.jobs) {
      if (other.name == job.name) {
        EXPECT_EQ(other.profile, job.profile);
      }
    }
  }
}

// A seed or length from the command line must reach what is drawn and cut while reading, not only what runs.
TEST(Scenario, ChangesReachTheJobs) {
  const std::string text = whole("[jobs]\nfile=\"jobs.csv\"\nformat=\"gaia_pai_1k\"\n");
  const auto shorter = parse(text, {std::nullopt, 0.25});
  ASSERT_TRUE(shorter.ok()) << shorter.error().message();
  EXPECT_EQ(shorter->length.ns, base::kNsPerHour / 4);
  EXPECT_EQ(shorter->hall.jobs.size(), 2U);
  const auto longer = parse(text, {std::nullopt, 2.0});
  ASSERT_FALSE(longer.ok());  // now the job of 9 GPUs is within the run
  EXPECT_NE(longer.error().why.find("job 4"), std::string::npos);
  EXPECT_EQ(parse(text, {std::nullopt, 0.0}).error().where, "--hours");
  EXPECT_EQ(parse(text, {std::nullopt, 9000.0}).error().where, "--hours");

  std::set<std::size_t> profiles;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto s = parse(text, {seed, std::nullopt});
    ASSERT_TRUE(s.ok());
    EXPECT_EQ(s->hall.seed, seed);
    profiles.insert(s->hall.jobs[0].profile);
  }
  EXPECT_GT(profiles.size(), 1U);
}

TEST(Scenario, AListOfRequestsIsGoneThroughOnce) {
  const auto s =
      parse(whole("[requests]\nlist=[{at=\"1500ms\",input=7,output=3},{at=\"59m\",input=8,output=4}]\n"));
  ASSERT_TRUE(s.ok()) << s.error().message();
  auto stream = make_request_stream(*s);
  const auto first = stream(), second = stream();
  ASSERT_TRUE(first && second);
  EXPECT_EQ((first->request.arrival - s->hall.start).ns, 1'500'000'000);
  EXPECT_EQ(first->request.input_tokens, 7);
  EXPECT_EQ((second->request.arrival - s->hall.start).ns, 59 * 60 * base::kNsPerSecond);
  EXPECT_EQ(second->request.output_tokens, 4);
  EXPECT_FALSE(stream());
  EXPECT_FALSE(stream());
}

TEST(Scenario, ATraceIsRepeatedAtTheRateOfTheHour) {
  std::string profile = "profile=[2";
  for (int h = 1; h < 24; ++h) profile += ",1";
  const auto s = parse(whole("[requests]\nfile=\"conv.csv\"\nformat=\"azure\"\n" + profile + "]\n"));
  ASSERT_TRUE(s.ok()) << s.error().message();
  // Two rows in 10 s and half as much again before the next turn: 15 s per turn, 7.5 s at twice the rate.
  auto stream = make_request_stream(*s);
  const double expected[] = {0.0, 5.0, 7.5, 12.5, 15.0};
  for (const double at : expected) {
    const auto r = stream();
    ASSERT_TRUE(r);
    EXPECT_NEAR(base::to_seconds(r->request.arrival - s->hall.start).value(), at, 1e-6);
  }
}

TEST(Scenario, ConstantCarbonCoversTheRun) {
  const auto s = parse(whole("[site]\nname=\"here\"\ncarbon=[{region=\"X\",g_per_kwh=400}]\n"));
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->hall.site, "here");
  ASSERT_EQ(s->carbon.size(), 1U);
  EXPECT_EQ(s->carbon[0].begin(), s->hall.start);
  EXPECT_EQ(s->carbon[0].end(), s->hall.start + s->length);
}

TEST(ScenarioFiles, TheDemoLoads) {
  const auto s = read_scenario(base::posix_env(), PERJOULE_SOURCE_DIR "/scenarios/demo.toml");
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->hall.nodes.size(), 8U);
  EXPECT_EQ(s->hall.jobs.size(), 143U);  // rows of the trace with arrival below 86,400 s
  ASSERT_EQ(s->carbon.size(), 2U);
  EXPECT_EQ(s->carbon[0].region(), "CISO");
  EXPECT_LE(s->carbon[0].begin(), s->hall.start);
  EXPECT_NEAR(std::accumulate(s->requests.profile.begin(), s->requests.profile.end(), 0.0), 24.0, 1e-9);
  EXPECT_TRUE(s->hall.weather.has_value());
}

TEST(ScenarioFiles, TheLargeHallLoads) {
  const auto s = read_scenario(base::posix_env(), PERJOULE_SOURCE_DIR "/scenarios/hall-1024.toml");
  ASSERT_TRUE(s.ok()) << s.error().message();
  int gpus = 0;
  for (const auto& node : s->hall.nodes) gpus += node.gpus;
  EXPECT_EQ(gpus, 1024);
  EXPECT_EQ(s->hall.nodes.size(), 128U);
}

}  // namespace
}  // namespace perjoule::compose
