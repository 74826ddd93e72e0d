#include "bus/retention.hpp"

#include <chrono>

#include "base/text.hpp"

namespace perjoule::bus {

base::Result<KeepRule> parse_keep_rule(const std::string& text) {
  const std::size_t at = text.find('=');
  const std::string name = text.substr(0, at);
  const auto wrong = [&](std::string why, std::string hint) {
    return base::bad_input("read how long rows are kept", text, std::move(why), std::move(hint));
  };
  if (at == std::string::npos) return wrong("it is not TABLE=AGE", "Write, for example, joules=90d");
  const auto table = find_event_table(name);
  if (!table && find_table(name))
    return wrong("sums are kept as long as the store", "Say how long the rows are kept: joules or samples");
  if (!table) return wrong("there is no table '" + name + "'", base::nearest_name_hint(name, table_names()));
  const auto age = base::parse_duration(text.substr(at + 1));
  if (!age.ok()) return age.error();
  if (age->ns <= 0) return wrong("the age must be above zero", "Write, for example, " + name + "=90d");
  return KeepRule{*table, *age};
}

base::Result<std::vector<DroppedRows>> drop_old(Engine& engine, base::TimePoint now,
                                                const std::vector<KeepRule>& rules) {
  std::vector<DroppedRows> out;
  for (const KeepRule& rule : rules) {
    PJ_ASSIGN(auto dropped, engine.drop_before(rule.table, (now - rule.age).ns));
    if (dropped.files != 0) out.push_back(std::move(dropped));
  }
  return out;
}

void Retention::start() {
  if (!rules_.empty()) thread_ = std::thread([this] { run(); });
}

void Retention::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string Retention::fault() const {
  const std::lock_guard lock(mutex_);
  return fault_;
}

void Retention::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    lock.unlock();
    const auto dropped = drop_old(engine_, clock_.now(), rules_);
    lock.lock();
    fault_ = dropped.ok() ? std::string{} : dropped.error().message();
    wake_.wait_for(lock, std::chrono::hours(1), [&] { return ending_; });
  }
}

}  // namespace perjoule::bus
