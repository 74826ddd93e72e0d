// Hands batches to a few loading threads, for engines that take rows from several connections at once. The
// n-th batch goes to thread n modulo their number, so each thread sees batches in order.
// Thread rule: append() and drain() from one thread. Ownership: batches are copied (about 10 ns per event).
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "bench/bus/generator.hpp"

namespace perjoule::bench {

class LoaderPool {
 public:
  // `load` is called with the thread's number, from that thread alone.
  using Load = std::function<base::Status(std::size_t, const EventBatch&)>;

  LoaderPool(std::size_t threads, Load load);
  LoaderPool(const LoaderPool&) = delete;
  LoaderPool& operator=(const LoaderPool&) = delete;
  ~LoaderPool();

  // Waits for the thread whose turn it is. Error: the first that a thread met.
  base::Status append(const EventBatch& batch);
  // Waits for all threads.
  base::Status drain();

 private:
  struct Worker {
    EventBatch batch;
    bool full = false;
    std::thread thread;
  };
  void run(std::size_t number);
  base::Status status_locked() const;

  Load load_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<base::Error> errors_;
  std::size_t next_ = 0;
  bool stop_ = false;
};

}  // namespace perjoule::bench
