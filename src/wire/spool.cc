#include "wire/spool.hpp"

#include <algorithm>
#include <cstdio>

#include "base/text.hpp"
#include "bus/block.hpp"

namespace perjoule::wire {
namespace {

std::string padded(std::uint64_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llu", digits, static_cast<unsigned long long>(number));
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  const auto n = base::parse_int(text);
  if (!n || *n < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*n);
}

// "0000000001-00000000000000000201-00000000000000000300.block"
std::optional<SpooledBlock> parse_name(std::string_view name) {
  constexpr std::string_view kEnd = ".block";
  if (name.size() != 10 + 1 + 20 + 1 + 20 + kEnd.size() || !name.ends_with(kEnd)) return std::nullopt;
  const auto session = number(name.substr(0, 10)), first = number(name.substr(11, 20)),
             last = number(name.substr(32, 20));
  if (!session || !first || !last || *first == 0 || *first > *last) return std::nullopt;
  return SpooledBlock{*session, *first, *last};
}

}  // namespace

base::Result<Spool> Spool::open(base::Env& env, std::string directory, std::uint64_t max_bytes) {
  Spool spool(env, std::move(directory), max_bytes);
  PJ_TRY(env.create_directories(spool.directory_));
  PJ_TRY(spool.load());
  return spool;
}

base::Status Spool::load() {
  PJ_ASSIGN(const auto names, env_->list(directory_));
  for (const auto& name : names) {
    const std::string path = directory_ + "/" + name;
    if (const auto block = parse_name(name)) {
      PJ_ASSIGN(const auto file, env_->open_file(path));
      sizes_[path] = file->size();
      bytes_ += file->size();
      found_.push_back(*block);
      session_ = std::max(session_, block->session + 1);
    } else if (const auto session = number(std::string_view(name).substr(0, 10));
               session && name.ends_with(".numbers")) {
      PJ_TRY(load_numbers(*session, path));
      session_ = std::max(session_, *session + 1);
    } else if (name.ends_with(".part")) {
      PJ_TRY(env_->remove(path));  // the writer died before the file had its name
    }
  }
  return base::ok_status();
}

base::Status Spool::load_numbers(std::uint64_t session, const std::string& path) {
  PJ_ASSIGN(const std::string text, env_->read_file(path, 1024));
  const std::string_view t = text;
  const auto line = t.find('\n');
  const auto damaged = [&] {
    return base::corrupt("read the spool", path, "it is not 'base N' and 'last M'",
                         "remove the folder to give up what is in it");
  };
  if (!t.starts_with("base ") || line == t.npos || !t.substr(line + 1).starts_with("last ") ||
      !t.ends_with('\n'))
    return damaged();
  const std::string_view base_text = t.substr(5, line - 5);
  const auto base = number(base_text);
  const auto last = number(t.substr(line + 6, t.size() - line - 7));
  if (!last || (!base && base_text != "-")) return damaged();
  numbers_[session] = {base, *last};
  return base::ok_status();
}

base::Status Spool::save_numbers(std::uint64_t session) {
  const SessionNumbers& n = numbers_[session];
  const std::string base = n.base ? std::to_string(*n.base) : "-";
  return base::write_atomically(*env_, numbers_path(session),
                                "base " + base + "\nlast " + std::to_string(n.last) + "\n");
}

std::optional<std::uint64_t> Spool::base_of(std::uint64_t session) const {
  const auto found = numbers_.find(session);
  return found == numbers_.end() ? std::nullopt : found->second.base;
}

std::uint64_t Spool::last_of(std::uint64_t session) const {
  const auto found = numbers_.find(session);
  return found == numbers_.end() ? 0 : found->second.last;
}

base::Status Spool::write(const SpooledBlock& block, std::string_view bytes) {
  const std::string path = path_of(block);
  PJ_TRY(base::write_atomically(*env_, path, bytes));
  sizes_[path] = bytes.size();
  bytes_ += bytes.size();
  return base::ok_status();
}

base::Result<std::string> Spool::read(const SpooledBlock& block) const {
  const std::string path = path_of(block);
  PJ_ASSIGN(std::string bytes, env_->read_file(path, bus::kMaxBlockBytes));
  PJ_ASSIGN(const auto view, bus::BlockView::open(bytes, path));
  PJ_TRY(view.check());
  return bytes;
}

void Spool::remove(const SpooledBlock& block) {
  const std::string path = path_of(block);
  const auto found = sizes_.find(path);
  if (found == sizes_.end()) return;
  bytes_ -= found->second;
  sizes_.erase(found);
  // One that stays is sent again after the next start, and answered "already stored".
  (void)env_->remove(path).ok();
}

base::Status Spool::set_base(std::uint64_t session, std::uint64_t base) {
  numbers_[session].base = base;
  return save_numbers(session);
}

base::Status Spool::note_last(std::uint64_t session, std::uint64_t last) {
  numbers_[session].last = last;
  return save_numbers(session);
}

void Spool::forget_before(std::uint64_t session) {
  while (!numbers_.empty() && numbers_.begin()->first < session) {
    (void)env_->remove(numbers_path(numbers_.begin()->first)).ok();
    numbers_.erase(numbers_.begin());
  }
}

std::string Spool::path_of(const SpooledBlock& block) const {
  return directory_ + "/" + padded(block.session, 10) + "-" + padded(block.first, 20) + "-" +
         padded(block.last, 20) + ".block";
}

std::string Spool::numbers_path(std::uint64_t session) const {
  return directory_ + "/" + padded(session, 10) + ".numbers";
}

}  // namespace perjoule::wire
