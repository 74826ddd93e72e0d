// What does not depend on how an engine works: names of outcomes, and waiting for an answer.
#include <condition_variable>
#include <mutex>
#include <optional>

#include "bus/engine.hpp"

namespace perjoule::bus {

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kStored:
      return "stored";
    case Outcome::kAlreadyStored:
      return "already stored";
    case Outcome::kBusy:
      return "busy";
    case Outcome::kNoSpace:
      return "no space";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kStopped:
      return "stopped";
  }
  return "unknown";
}

Receipt Engine::store(std::string block, Durability durability) {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Receipt> receipt;
  submit(std::move(block), durability, [&](const Receipt& r) {
    const std::lock_guard lock(mutex);
    receipt = r;
    answered.notify_one();
  });
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return receipt.has_value(); });
  return *receipt;
}

}  // namespace perjoule::bus
