// A small store with known numbers, for the tests of the answers: two windows of 30 s; site over a node (one
// GPU, one CPU) and a chiller; one service with two requests (one recorded to the kernel), one idle period,
// one job on the CPU. Thread rule: one thread. Ownership: removes its folder.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "bus/store.hpp"

namespace perjoule::answers::testing {

class TestStore {
 public:
  static constexpr std::int64_t kT0 = 1'777'593'600'000'000'000,
                                kWindow = 30'000'000'000;  // 2026-05-01T00:00:00Z

  explicit TestStore(const std::string& name, bus::StoreMeta more = {})
      : folder_(std::filesystem::temp_directory_path() /
                ("perjoule-answers-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    more.insert({{"seed", "7"}, {"scenario", "two windows"}, {"build", "test"}});
    error_ = write(std::move(more));
  }
  TestStore(const TestStore&) = delete;
  TestStore& operator=(const TestStore&) = delete;
  ~TestStore() { std::filesystem::remove_all(folder_); }
  base::Result<bus::StoreReader> open() const {
    if (!error_.ok()) return error_.error();
    return bus::StoreReader::open(base::posix_env(), folder_.string());
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

 private:
  energy::MeterRow meter(int w, const char* name, const char* parent, const char* kind, const char* zone,
                         std::int64_t uj) {
    const std::int64_t t = kT0 + w * kWindow;
    const bool node = std::string_view(name).starts_with("s/n");
    return {t,
            t,
            t + kWindow,
            s(name),
            s(parent),
            s("s"),
            s(node ? "r" : ""),
            s(node ? "n" : ""),
            s(name),
            s(kind),
            s(zone),
            uj,
            energy::Quality::kSimulated,
            s("plant"),
            10'000};
  }
  energy::JouleRow joule(int w, const char* meter, std::int64_t uj, energy::Share share, const char* rule,
                         energy::Consumer c) {
    const std::int64_t t = kT0 + w * kWindow;
    return {t,       t,      t + kWindow, s(meter),   s(meter), uj, share, energy::Quality::kSimulated,
            s(rule), 10'000, c,           s("plant"), ++seq_};
  }
  energy::Symbol s(const char* text) { return symbols_.intern(text); }

  base::Status write(bus::StoreMeta meta) {
    bus::StoreOptions options;
    options.group_rows = 4;  // several row groups, so that codes differ from batch to batch
    options.encoding.page_rows = 2;
    PJ_ASSIGN(auto store, bus::StoreWriter::create(base::posix_env(), folder_.string(), symbols_,
                                                   std::move(meta), options));
    using enum energy::Share;
    const energy::Consumer chat{s("acme"), s("chat"), s("m-8b"), {}, {}, {}, {}, {}};
    const energy::Consumer train{s("lab"), s("job-1"), s("resnet"), {}, {}, {}, {}, {}};
    energy::Consumer r1 = chat, r2 = chat, r1_qk = chat, r1_ffn = chat;
    r1.request = r1_qk.request = r1_ffn.request = s("r1");
    r2.request = s("r2");
    r1_qk.step = r1_ffn.step = s("decode");
    r1_qk.kernel = s("decode/L00/qk_t");
    r1_ffn.kernel = s("decode/L00/ffn");
    for (int w = 0; w < 2; ++w) {
      PJ_TRY(store.append(meter(w, "s", "", "site", "site", 2000)));
      PJ_TRY(store.append(meter(w, "s/n", "s", "node", "it", 1600)));
      PJ_TRY(store.append(meter(w, "s/n/gpu", "s/n", "gpu", "it", 1000)));
      PJ_TRY(store.append(meter(w, "s/n/cpu", "s/n", "cpu", "it", 500)));
      PJ_TRY(store.append(meter(w, "s/chiller", "s", "chiller", "cooling", 300)));
      PJ_TRY(store.append(joule(w, "s", 100, kResidual, "residual/1", {})));
      PJ_TRY(store.append(joule(w, "s/n", 100, kOverhead, "loss-proportional/1", chat)));
      PJ_TRY(store.append(joule(w, "s/n/cpu", 500, kDirect, "host-by-gpu/1", train)));
      PJ_TRY(store.append(joule(w, "s/chiller", 300, kOverhead, "overhead-proportional/1", train)));
      PJ_TRY(store.append(joule(w, "s/n/gpu", 400, kIdle, "idle-holder/1", chat)));
    }
    PJ_TRY(store.append(joule(0, "s/n/gpu", 350, kDirect, "serving-steps/1", r1_qk)));
    PJ_TRY(store.append(joule(0, "s/n/gpu", 150, kDirect, "serving-steps/1", r1_ffn)));
    PJ_TRY(store.append(joule(0, "s/n/gpu", 100, kDirect, "serving-steps/1", r2)));
    PJ_TRY(store.append(joule(1, "s/n/gpu", 600, kDirect, "serving-steps/1", r2)));
    for (int edge = 0; edge < 3; ++edge) {
      PJ_TRY(store.append(energy::SampleRow{kT0 + edge * kWindow, s("s/n/gpu"), s("gpu.energy"),
                                            5.0 + edge * 0.001, energy::Quality::kSimulated, energy::kAbsent,
                                            s("plant"), edge}));
    }
    PJ_TRY(store.append(energy::RequestRow{s("r1"), s("acme"), s("m-8b"), kT0 + 1, kT0 + 20'000'000'000, 10,
                                           20, 100.0, 5.0, true, 500, 0.25}));
    PJ_TRY(store.append(energy::RequestRow{s("r2"), s("acme"), s("m-8b"), kT0 + 2, kT0 + 50'000'000'000, 10,
                                           30, 300.0, 9.0, false, 700, 0.5}));
    PJ_TRY(store.append(
        energy::JobRow{s("job-1"), s("lab"), s("resnet"), 1, 1, kT0, kT0, energy::kNoTime, 1600, 0.5}));
    PJ_TRY(store.append(energy::DecisionRow{s("d1"), kT0 + kWindow, s("cap:x/1"), s("s/n/gpu"),
                                            s("gpu power cap"), 700, 500, 42, s("saves"), 10, 3,
                                            energy::kNoTime, s("applied"), false}));
    PJ_TRY(store.append(energy::CarbonRow{kT0, kT0 + kWindow, s("CISO"), energy::CarbonKind::kAverage, 100.0,
                                          energy::Quality::kModelled, s("table")}));
    PJ_TRY(store.append(energy::CarbonRow{kT0 + kWindow, kT0 + 2 * kWindow, s("CISO"),
                                          energy::CarbonKind::kAverage, 300.0, energy::Quality::kModelled,
                                          s("table")}));
    PJ_TRY(store.append(energy::CarbonRow{kT0, kT0 + kWindow, s("PJM"), energy::CarbonKind::kAverage, 400.0,
                                          energy::Quality::kModelled, s("table")}));
    return store.finish();
  }

  std::filesystem::path folder_;
  base::SymbolTable symbols_;
  std::int64_t seq_ = 0;
  base::Status error_ = base::ok_status();
};

}  // namespace perjoule::answers::testing
