#include "bus/query_session.hpp"

namespace perjoule::bus {

std::uint32_t ColumnTexts::intern(std::string_view text) {
  const std::lock_guard lock(mutex_);
  return table_.intern(text).id;
}
std::uint32_t ColumnTexts::find(std::string_view text) const {
  const std::lock_guard lock(mutex_);
  return table_.find(text).id;
}
std::string_view ColumnTexts::text(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  return table_.text({number});
}
std::vector<std::string_view> ColumnTexts::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string_view> out;
  for (std::uint32_t i = 0; i < table_.size(); ++i) out.push_back(table_.text({i}));
  return out;
}
std::uint32_t ColumnTexts::size() const {
  const std::lock_guard lock(mutex_);
  return table_.size();
}

base::Result<std::unique_ptr<QuerySession>> QuerySession::open(base::Env& env, const std::string& directory,
                                                               QueryOptions options) {
  PJ_ASSIGN(auto store, StoreReader::open(env, directory));
  return std::make_unique<QuerySession>(std::move(store), options);
}

QuerySession::QuerySession(StoreReader store, QueryOptions options)
    : store_(std::make_unique<StoreReader>(std::move(store))), options_(options) {}

base::Status QuerySession::refresh() {
  PJ_ASSIGN(auto store, store_->reopen());
  take(std::move(store));
  return base::ok_status();
}

base::Status QuerySession::refresh(const Snapshot& snapshot) {
  PJ_ASSIGN(auto store, store_->reopen(snapshot));
  take(std::move(store));
  return base::ok_status();
}

void QuerySession::take(StoreReader store) {
  store_ = std::make_unique<StoreReader>(std::move(store));
  nodes_loaded_ = false;
  // Maps of files and blocks that nobody else knows any more.
  std::erase_if(maps_, [&](const auto& kept) {
    const bool gone = kept.second.owner.use_count() == 1;
    if (gone) kept_bytes_ -= kept.second.map->size() * sizeof(std::uint32_t);
    return gone;
  });
}

std::shared_ptr<ColumnTexts> QuerySession::texts(std::string_view column) {
  const std::lock_guard lock(mutex_);
  const auto found = texts_.find(column);
  if (found != texts_.end()) return found->second;
  return texts_.emplace(std::string(column), std::make_shared<ColumnTexts>()).first->second;
}

std::shared_ptr<const QuerySession::CodeMap> QuerySession::find_map(const MapKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = maps_.find(key);
  return found == maps_.end() ? nullptr : found->second.map;
}

void QuerySession::keep_map(const MapKey& key, std::shared_ptr<const void> owner,
                            std::shared_ptr<const CodeMap> map) {
  const std::lock_guard lock(mutex_);
  const std::size_t bytes = map->size() * sizeof(std::uint32_t);
  if (kept_bytes_ + bytes > options_.map_bytes) return;
  if (maps_.try_emplace(key, KeptMap{std::move(owner), std::move(map)}).second) kept_bytes_ += bytes;
}

std::shared_ptr<PieceReader> QuerySession::take_reader(Table table) {
  const std::lock_guard lock(mutex_);
  auto& free = readers_[static_cast<std::size_t>(table)];
  if (free.empty()) return nullptr;
  auto reader = std::move(free.back());
  free.pop_back();
  return reader;
}

void QuerySession::give_back(Table table, std::shared_ptr<PieceReader> reader) {
  const std::lock_guard lock(mutex_);
  readers_[static_cast<std::size_t>(table)].push_back(std::move(reader));
}

base::Status QuerySession::load_nodes() {
  if (nodes_loaded_) return base::ok_status();
  node_of_.clear();
  PJ_TRY(store_->scan({Table::kMeters, {"device", "node"}, {}}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) {
      if (!b.columns[0].is_null(i) && !b.columns[1].is_null(i))
        node_of_.try_emplace(std::string(b.columns[0].text(i)), b.columns[1].text(i));
    }
    return base::ok_status();
  }));
  nodes_loaded_ = true;
  return base::ok_status();
}

base::Result<std::vector<std::uint32_t>> QuerySession::nodes_of_devices() {
  PJ_TRY(load_nodes());
  const auto devices = texts("device"), nodes = texts("node");
  std::vector<std::uint32_t> out(devices->size(), 0);
  for (std::uint32_t d = 1; d < out.size(); ++d) {
    const std::string_view device = devices->text(d);
    const auto known = node_of_.find(device);
    const std::size_t slash = device.rfind('/');
    if (known != node_of_.end()) {
      out[d] = nodes->intern(known->second);
    } else if (slash != std::string_view::npos && slash != 0) {
      out[d] = nodes->intern(device.substr(0, slash));
    }
  }
  return out;
}

}  // namespace perjoule::bus
