#include "bench/bus/peers/loader_pool.hpp"

#include <algorithm>

namespace perjoule::bench {

LoaderPool::LoaderPool(std::size_t threads, Load load) : load_(std::move(load)) {
  for (std::size_t i = 0; i < threads; ++i) workers_.push_back(std::make_unique<Worker>());
  for (std::size_t i = 0; i < threads; ++i) workers_[i]->thread = std::thread([this, i] { run(i); });
}

LoaderPool::~LoaderPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& worker : workers_) worker->thread.join();
}

base::Status LoaderPool::status_locked() const {
  if (!errors_.empty()) return errors_.front();
  return base::ok_status();
}

base::Status LoaderPool::append(const EventBatch& batch) {
  Worker& worker = *workers_[next_++ % workers_.size()];
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !worker.full; });
  PJ_TRY(status_locked());
  lock.unlock();
  worker.batch = batch;
  lock.lock();
  worker.full = true;
  changed_.notify_all();
  return base::ok_status();
}

base::Status LoaderPool::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(
      lock, [&] { return std::none_of(workers_.begin(), workers_.end(), [](auto& w) { return w->full; }); });
  return status_locked();
}

void LoaderPool::run(std::size_t number) {
  Worker& worker = *workers_[number];
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return worker.full || stop_; });
    if (!worker.full) return;
    lock.unlock();
    auto status = load_(number, worker.batch);
    lock.lock();
    if (!status.ok()) errors_.push_back(std::move(status).error());
    worker.full = false;
    changed_.notify_all();
  }
}

}  // namespace perjoule::bench
