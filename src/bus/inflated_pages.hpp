// Inflated pages of one file that are kept for the next question: those of columns in runs (a model, an
// epoch), which are small and asked for again and again, so that inflating them is most of the work. All
// files of the process together keep at most kKeptBytes; what came first stays. Internal to the bus. Thread
// rule: any thread. Ownership: a page that was given out may outlive the object.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace perjoule::bus {

class InflatedPages {
 public:
  static constexpr std::size_t kLargest = std::size_t{24} << 10;  // of a page that is kept
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 20;

  InflatedPages() = default;
  InflatedPages(const InflatedPages&) = delete;
  InflatedPages& operator=(const InflatedPages&) = delete;
  ~InflatedPages() { total() -= bytes_; }

  // By the place of the page in the file; nullptr: it is not kept.
  std::shared_ptr<const std::string> find(std::size_t at) {
    const std::lock_guard lock(mutex_);
    const auto found = pages_.find(at);
    return found == pages_.end() ? nullptr : found->second;
  }
  void keep(std::size_t at, std::string_view values) {
    if (values.size() > kLargest || total().load(std::memory_order_relaxed) + values.size() > kKeptBytes)
      return;
    const std::lock_guard lock(mutex_);
    if (!pages_.try_emplace(at, std::make_shared<const std::string>(values)).second) return;
    bytes_ += values.size();
    total() += values.size();
  }

 private:
  static std::atomic<std::size_t>& total() {
    static std::atomic<std::size_t> bytes{0};
    return bytes;
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::shared_ptr<const std::string>> pages_;
  std::size_t bytes_ = 0;
};

}  // namespace perjoule::bus
