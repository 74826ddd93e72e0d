#include <algorithm>
#include <cstring>
#include <utility>

#include "base/memory_disk.hpp"
#include "base/rng.hpp"

namespace perjoule::base::memory {
namespace {

using Kind = Step::Kind;

const char* bytes_of(const Page& page) {
  static const std::vector<char> zeros(kPage, '\0');
  return page ? page.get() : zeros.data();
}

// Files, by index, that something later settled.
class FileSet {
 public:
  void insert(std::size_t file) {
    if (file >= in_.size()) in_.resize(file + 1);
    in_[file] = true;
  }
  bool contains(std::size_t file) const { return file < in_.size() && in_[file]; }

 private:
  std::vector<bool> in_;
};

// Which steps a crash after the last one cannot undo. Where a name's step is durable, so are the earlier ones
// of the same file, in whatever folder: it cannot come from a name that it never had.
std::vector<bool> durable_steps(std::span<const Step> steps) {
  std::vector<bool> durable(steps.size());
  FileSet synced, placed;
  std::vector<std::string_view> folders;
  const auto name_synced = [&](std::string_view path) {
    return std::find(folders.begin(), folders.end(), folder_of(path)) != folders.end();
  };
  for (std::size_t n = steps.size(); n-- > 0;) {
    const Step& step = steps[n];
    switch (step.kind) {
      case Kind::kSync:
        synced.insert(step.file);
        break;
      case Kind::kSyncDirectory:
        folders.push_back(step.path);
        break;
      case Kind::kMakeDirectory:
        durable[n] = true;
        break;
      case Kind::kWrite:
        durable[n] = synced.contains(step.file);
        break;
      case Kind::kCreate:
      case Kind::kRemove:
      case Kind::kRename:
        durable[n] = placed.contains(step.file) || name_synced(step.path) ||
                     (step.kind == Kind::kRename && name_synced(step.to));
        if (durable[n]) placed.insert(step.file);
        break;
    }
  }
  return durable;
}

std::size_t last_unsynced_write(std::span<const Step> steps, const std::vector<bool>& durable) {
  for (std::size_t n = steps.size(); n-- > 0;) {
    if (steps[n].kind == Kind::kWrite && !durable[n]) return n;
  }
  return steps.size();
}

// The part of a write that landed.
struct Landing {
  std::vector<bool> sectors;  // one per sector of the write
  std::uint64_t size = 0;     // what the file grows to at least
};

// The page before, with the sectors of the mask (bit 0 = first) from the page after.
Page mixed(const Page& before, const Page& after, unsigned mask) {
  auto page = std::make_shared<char[]>(kPage);
  for (std::size_t s = 0; s < kSectorsPerPage; ++s) {
    const char* const from = bytes_of((mask >> s & 1U) != 0 ? after : before);
    std::memcpy(page.get() + s * kSector, from + s * kSector, kSector);
  }
  return Page(page, page.get());
}

void grow(Bytes& bytes, std::uint64_t size) {
  bytes.size = std::max(bytes.size, size);
  bytes.pages.resize(std::max(bytes.pages.size(), static_cast<std::size_t>((size + kPage - 1) / kPage)));
}

void apply_part(Image& image, const Step& step, const Landing& landing) {
  Bytes& bytes = image.writable(step.file);
  const std::size_t first_page = static_cast<std::size_t>(step.offset) / kPage;
  bytes.pages.resize(std::max(bytes.pages.size(), first_page + step.pages.size()));
  const std::size_t skipped = static_cast<std::size_t>(step.first_sector()) % kSectorsPerPage;
  for (std::size_t p = 0; p < step.pages.size(); ++p) {
    unsigned mask = 0;
    for (std::size_t s = 0; s < kSectorsPerPage; ++s) {
      const std::size_t at = p * kSectorsPerPage + s;  // sectors from the first page's start
      const bool landed =
          at >= skipped && at - skipped < landing.sectors.size() && landing.sectors[at - skipped];
      if (landed) mask |= 1U << s;
    }
    Page& page = bytes.pages[first_page + p];
    if (mask != 0) page = mask == 0xFF ? step.pages[p] : mixed(page, step.pages[p], mask);
  }
  grow(bytes, landing.size);
}

Landing first_sectors(const Step& write, std::uint64_t count) {
  Landing landing{std::vector<bool>(write.sectors()), 0};
  const std::uint64_t landed = std::min(count, write.sectors());
  std::fill_n(landing.sectors.begin(), landed, true);
  if (landed != 0) landing.size = std::min(write.end(), (write.first_sector() + landed) * kSector);
  return landing;
}

// Every page for itself: lost, whole, or each of its sectors for itself.
Landing scattered(const Step& write, Rng& rng) {
  Landing landing{std::vector<bool>(write.sectors()), 0};
  std::uint64_t fate = 0;
  for (std::size_t s = 0; s < landing.sectors.size(); ++s) {
    if (s == 0 || (write.first_sector() + s) % kSectorsPerPage == 0) fate = rng.below(3);
    landing.sectors[s] = fate == 1 || (fate == 2 && rng.below(2) == 0);
  }
  return landing;
}

void apply_random_write(Image& image, const Step& write, Rng& rng) {
  const std::uint64_t fate = rng.below(4);
  if (fate == 0) return image.apply(write);
  Landing landing = fate == 1   ? first_sectors(write, 0)
                    : fate == 2 ? first_sectors(write, rng.below(write.sectors() + 1))
                                : scattered(write, rng);
  landing.size = rng.below(2) == 0 ? write.end() : 0;
  apply_part(image, write, landing);
}

void apply_random(Image& image, const Step& step, Rng& rng) {
  if (step.kind == Kind::kWrite) return apply_random_write(image, step, rng);
  if (rng.below(2) == 0) image.apply(step);
}

// Leaves out the files that no name leads to.
void drop_unnamed(Image& image) {
  std::vector<std::shared_ptr<Bytes>> named;
  for (auto& [path, file] : image.names) {
    named.push_back(std::move(image.files[file]));
    file = named.size() - 1;
  }
  image.files = std::move(named);
}

}  // namespace

void copy_out(const Bytes& bytes, std::uint64_t offset, std::span<char> into) {
  while (!into.empty()) {
    const std::size_t within = static_cast<std::size_t>(offset % kPage);
    const std::size_t part = std::min(into.size(), kPage - within);
    std::memcpy(into.data(), bytes_of(bytes.pages[static_cast<std::size_t>(offset / kPage)]) + within, part);
    offset += part;
    into = into.subspan(part);
  }
}

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

Bytes& Image::writable(std::size_t file) {
  auto& bytes = files[file];
  if (bytes.use_count() > 1) bytes = std::make_shared<Bytes>(*bytes);
  return *bytes;
}

void Image::apply(const Step& step) {
  const auto is_there = [&] {
    const auto it = names.find(step.path);
    return it != names.end() && it->second == step.file;
  };
  switch (step.kind) {
    case Kind::kCreate:
      names[step.path] = step.file;
      break;
    case Kind::kMakeDirectory:
      directories.insert(step.path);
      break;
    case Kind::kWrite: {
      Bytes& bytes = writable(step.file);
      grow(bytes, step.end());
      std::copy(step.pages.begin(), step.pages.end(),
                bytes.pages.begin() + static_cast<std::ptrdiff_t>(step.offset / kPage));
      break;
    }
    // A name that a lost step should have given the file cannot be taken from it.
    case Kind::kRename:
      if (is_there()) names.erase(step.path), names[step.to] = step.file;
      break;
    case Kind::kRemove:
      if (is_there()) names.erase(step.path);
      break;
    case Kind::kSync:
    case Kind::kSyncDirectory:
      break;
  }
}

std::size_t last_unsynced_write(std::span<const Step> steps) {
  return last_unsynced_write(steps, durable_steps(steps));
}

Image after_crash(const Image& base, std::span<const Step> steps, CrashChoice choice) {
  using Choice = CrashChoice::Kind;
  const std::vector<bool> durable = durable_steps(steps);
  const std::size_t torn =
      choice.kind == Choice::kTornLast ? last_unsynced_write(steps, durable) : steps.size();
  Rng rng(choice.value);
  Image image = base;
  for (std::size_t n = 0; n < steps.size(); ++n) {
    // A file is there to be written even if its name is lost.
    if (steps[n].kind == Kind::kCreate) image.files.push_back(std::make_shared<Bytes>());
    if (durable[n]) {
      image.apply(steps[n]);
    } else if (choice.kind == Choice::kRandom) {
      apply_random(image, steps[n], rng);
    } else if (n == torn) {
      apply_part(image, steps[n], first_sectors(steps[n], choice.value));
    } else if (choice.kind != Choice::kNothingUnsynced) {
      image.apply(steps[n]);
    }
  }
  drop_unnamed(image);
  return image;
}

}  // namespace perjoule::base::memory
