#include "base/fault_env.hpp"

namespace perjoule::base {

class FaultPendingFile final : public PendingFile {
 public:
  FaultPendingFile(FaultEnv& env, std::unique_ptr<PendingFile> target)
      : env_(env), target_(std::move(target)) {}
  Status append(std::string_view bytes) override {
    PJ_TRY(env_.step());
    return target_->append(bytes);
  }
  Status commit() override {
    PJ_TRY(env_.step());
    return target_->commit();
  }

 private:
  FaultEnv& env_;
  std::unique_ptr<PendingFile> target_;
};

class FaultLogFile final : public LogFile {
 public:
  FaultLogFile(FaultEnv& env, std::unique_ptr<LogFile> target) : env_(env), target_(std::move(target)) {}
  std::uint64_t size() const override { return target_->size(); }
  std::string_view io() const override { return target_->io(); }

 protected:
  Status do_write(std::uint64_t offset, std::string_view pages, Sync sync) override {
    bool shorten = false;
    Status fault = env_.step(&shorten);
    if (fault.ok()) return target_->write(offset, pages, sync);
    const std::size_t half = pages.size() / kPage / 2 * kPage;
    if (shorten) PJ_TRY(target_->write(offset, pages.substr(0, half), Sync::kNone));
    return fault;
  }
  Status do_sync() override {
    PJ_TRY(env_.step());
    return target_->sync();
  }
  Status do_read(std::uint64_t offset, std::span<char> into) const override {
    return target_->read(offset, into);
  }

 private:
  FaultEnv& env_;
  std::unique_ptr<LogFile> target_;
};

namespace {

Result<std::unique_ptr<LogFile>> wrap(FaultEnv& env, Result<std::unique_ptr<LogFile>> target) {
  PJ_ASSIGN(auto file, std::move(target));
  return std::unique_ptr<LogFile>(std::make_unique<FaultLogFile>(env, std::move(file)));
}

}  // namespace

void FaultEnv::arm(Mode mode, std::uint64_t n, Error error) {
  const std::scoped_lock lock(mutex_);
  mode_ = mode;
  fail_at_ = n == 0 ? 0 : count_ + n;
  error_ = std::move(error);
}
void FaultEnv::fail_from(std::uint64_t n, Error error) { arm(Mode::kFrom, n, std::move(error)); }
void FaultEnv::fail_once(std::uint64_t n, Error error) { arm(Mode::kOnce, n, std::move(error)); }
void FaultEnv::shorten_log_write(std::uint64_t n, Error error) { arm(Mode::kShort, n, std::move(error)); }

std::uint64_t FaultEnv::operations() const {
  const std::scoped_lock lock(mutex_);
  return count_;
}

Status FaultEnv::step(bool* shorten) {
  const std::scoped_lock lock(mutex_);
  ++count_;
  const bool fails = fail_at_ != 0 && (mode_ == Mode::kFrom ? count_ >= fail_at_ : count_ == fail_at_);
  if (!fails) return ok_status();
  if (shorten != nullptr) *shorten = mode_ == Mode::kShort;
  return error_;
}

Result<std::string> FaultEnv::read_file(const std::string& path, std::uint64_t limit) {
  return target_.read_file(path, limit);
}
Result<std::unique_ptr<PendingFile>> FaultEnv::create(const std::string& path) {
  PJ_TRY(step());
  PJ_ASSIGN(auto file, target_.create(path));
  return std::unique_ptr<PendingFile>(std::make_unique<FaultPendingFile>(*this, std::move(file)));
}
Status FaultEnv::create_directories(const std::string& path) { return target_.create_directories(path); }
Result<std::vector<std::string>> FaultEnv::list(const std::string& directory) {
  return target_.list(directory);
}
Status FaultEnv::remove(const std::string& path) { return target_.remove(path); }
bool FaultEnv::exists(const std::string& path) { return target_.exists(path); }

Result<std::unique_ptr<LogFile>> FaultEnv::create_log(const std::string& path, std::uint64_t size) {
  PJ_TRY(step());
  return wrap(*this, target_.create_log(path, size));
}
Result<std::unique_ptr<LogFile>> FaultEnv::open_log(const std::string& path) {
  return wrap(*this, target_.open_log(path));
}
Result<std::unique_ptr<LogFile>> FaultEnv::open_log_for_reading(const std::string& path) {
  return wrap(*this, target_.open_log_for_reading(path));
}
Result<std::unique_ptr<ReadableFile>> FaultEnv::open_file(const std::string& path) {
  return target_.open_file(path);
}
Status FaultEnv::rename(const std::string& from, const std::string& to) {
  PJ_TRY(step());
  return target_.rename(from, to);
}
Status FaultEnv::sync_directory(const std::string& path) {
  PJ_TRY(step());
  return target_.sync_directory(path);
}

}  // namespace perjoule::base
