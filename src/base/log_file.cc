#include "base/log_file.hpp"

#include <algorithm>
#include <cstring>

namespace perjoule::base {

Status LogFile::write(std::uint64_t offset, std::string_view pages, Sync sync) {
  PJ_CHECK(offset % kPage == 0 && pages.size() % kPage == 0);
  PJ_CHECK(pages.empty() || reinterpret_cast<std::uintptr_t>(pages.data()) % kPage == 0);
  PJ_CHECK(offset <= size() && pages.size() <= size() - offset);
  if (failed_) return *failed_;
  return remember(do_write(offset, pages, sync));
}

Status LogFile::sync() {
  if (failed_) return *failed_;
  return remember(do_sync());
}

Status LogFile::read(std::uint64_t offset, std::span<char> into) const {
  if (offset > size() || into.size() > size() - offset) {
    return corrupt("read a log", "byte " + std::to_string(offset),
                   std::to_string(into.size()) + " bytes reach beyond its end at " + std::to_string(size()));
  }
  return do_read(offset, into);
}

Status LogFile::remember(Status status) {
  if (!status.ok()) failed_ = status.error();
  return status;
}

void PageBuffer::append(std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
}

void PageBuffer::append_zeros(std::size_t bytes) {
  if (bytes != 0) std::memset(grow(bytes), 0, bytes);
}

void PageBuffer::overwrite(std::size_t at, std::string_view bytes) {
  PJ_CHECK(at <= size_ && bytes.size() <= size_ - at);
  std::memcpy(data_.get() + at, bytes.data(), bytes.size());
}

void PageBuffer::pad_to_page() { append_zeros((LogFile::kPage - size_ % LogFile::kPage) % LogFile::kPage); }

char* PageBuffer::grow(std::size_t bytes) {
  const std::size_t needed = size_ + bytes;
  if (needed > capacity_) {
    const std::size_t wanted = std::max(needed, 2 * capacity_);
    const std::size_t capacity = (wanted + LogFile::kPage - 1) / LogFile::kPage * LogFile::kPage;
    std::unique_ptr<char, Free> larger(static_cast<char*>(std::aligned_alloc(LogFile::kPage, capacity)));
    PJ_CHECK(larger != nullptr);
    if (size_ != 0) std::memcpy(larger.get(), data_.get(), size_);
    data_ = std::move(larger);
    capacity_ = capacity;
  }
  return data_.get() + std::exchange(size_, needed);
}

}  // namespace perjoule::base
