#include "bus/seal.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/assert.hpp"
#include "bus/query_kernels.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {

// What one thread keeps.
struct Sealer::Worker {
  std::array<std::unique_ptr<BlockMerge>, kEventTables> merges;
  BlockMerge& merge_of(Table table) {
    auto& merge = merges[static_cast<std::size_t>(table)];
    if (merge == nullptr) merge = std::make_unique<BlockMerge>(table);
    return *merge;
  }
};

// One call of seal().
class Sealer::Job {
 public:
  Job(Sealer& sealer, Table table, const std::vector<TailBlock>& blocks, ParquetWriter& writer,
      std::span<RollupLane> lanes)
      : sealer_(sealer), table_(table), blocks_(blocks), writer_(writer), lanes_(lanes) {
    cut();
    energy_ = schema_of(table).find("energy_uj");
  }

  base::Status run() {
    const std::size_t threads = std::min(sealer_.workers_.size(), stretches_.size());
    std::vector<std::thread> others;
    for (std::size_t w = 1; w < threads; ++w) others.emplace_back([this, w] { work(w); });
    work(0);
    for (auto& t : others) t.join();
    return end_;
  }

  std::optional<std::int64_t> energy_uj() const {
    const bool known = energy_ < schema_of(table_).columns.size() && fits_int64(sum_);
    return known ? std::optional(static_cast<std::int64_t>(sum_)) : std::nullopt;
  }

 private:
  struct Stretch {
    std::size_t from = 0, to = 0;  // of blocks_
  };
  struct Encoded {
    std::vector<EncodedGroup> groups;
    WideInt sum = 0;
  };

  // Blocks until there are enough rows to be sorted together.
  void cut() {
    for (std::size_t next = 0; next < blocks_.size();) {
      Stretch s{next, next};
      for (std::size_t rows = 0;
           s.to < blocks_.size() && (rows == 0 || rows + blocks_[s.to].rows <= sealer_.options_.sort_rows);
           ++s.to)
        rows += blocks_[s.to].rows;
      stretches_.push_back(s);
      next = s.to;
    }
  }

  void work(std::size_t number) {
    Worker& worker = *sealer_.workers_[number];
    TailReader log(sealer_.env_, log_directory_of(sealer_.directory_));
    for (;;) {
      std::size_t mine = 0;
      {
        const std::lock_guard lock(mutex_);
        if (!end_.ok() || taken_ == stretches_.size()) return;
        mine = taken_++;
      }
      auto encoded = encode(worker, lanes_[number], log, stretches_[mine]);
      std::unique_lock lock(mutex_);
      my_turn_.wait(lock, [&] { return written_ == mine || !end_.ok(); });
      if (!end_.ok()) return;
      end_ = encoded.ok() ? write(std::move(encoded).value()) : base::Status(encoded.error());
      ++written_;
      my_turn_.notify_all();
    }
  }

  base::Result<Encoded> encode(Worker& worker, RollupLane& lane, TailReader& log,
                               const Stretch& stretch) const {
    BlockMerge& merge = worker.merge_of(table_);
    merge.clear();
    for (std::size_t i = stretch.from; i < stretch.to; ++i) {
      PJ_ASSIGN(const auto bytes, log.bytes_of(blocks_[i]));
      PJ_ASSIGN(const auto view, BlockView::open(*bytes, "log entry " + std::to_string(blocks_[i].entry)));
      PJ_TRY(merge.add(view));
    }
    Encoded out;
    PJ_TRY(merge.for_each_batch(sealer_.options_.group_rows, [&](const Batch& batch) -> base::Status {
      sum_up(lane, batch, out.sum);
      PJ_ASSIGN(auto group, encode_row_group(schema_of(table_), batch, sealer_.options_.encoding));
      out.groups.push_back(std::move(group));
      return base::ok_status();
    }));
    return out;
  }

  void sum_up(RollupLane& lane, const Batch& batch, WideInt& sum) const {
    if (table_ == Table::kSamples) lane.readings.add(batch);
    if (table_ == Table::kJoules) lane.sums.add(batch);
    if (energy_ == schema_of(table_).columns.size()) return;
    for (const auto v : batch.columns[energy_].ints) sum += v;
  }

  // In the order of the stretches.
  base::Status write(Encoded encoded) {
    sum_ += encoded.sum;
    for (auto& group : encoded.groups) PJ_TRY(writer_.append(std::move(group)));
    return base::ok_status();
  }

  Sealer& sealer_;
  const Table table_;
  const std::vector<TailBlock>& blocks_;
  ParquetWriter& writer_;
  const std::span<RollupLane> lanes_;
  std::vector<Stretch> stretches_;
  std::size_t energy_ = 0;  // the column; that of no column where there is none

  std::mutex mutex_;  // everything below
  std::condition_variable my_turn_;
  std::size_t taken_ = 0, written_ = 0;
  base::Status end_ = base::ok_status();
  WideInt sum_ = 0;
};

Sealer::Sealer(base::Env& env, std::string directory, SealOptions options)
    : env_(env), directory_(std::move(directory)), options_(std::move(options)) {
  for (unsigned i = 0; i < std::max(1U, options_.threads); ++i)
    workers_.push_back(std::make_unique<Worker>());
}
Sealer::~Sealer() = default;

base::Result<SegmentEntry> Sealer::seal(Table table, const std::vector<TailBlock>& blocks, std::uint64_t part,
                                        std::span<RollupLane> lanes) {
  PJ_CHECK(lanes.size() == workers_.size());
  const std::string file = segment_file_name(table, part);
  PJ_ASSIGN(auto writer, ParquetWriter::create(env_, directory_ + "/" + file, schema_of(table)));
  Job job(*this, table, blocks, writer, lanes);
  PJ_TRY(job.run());
  PJ_ASSIGN(auto summary, writer.seal());
  return SegmentEntry{std::string(schema_of(table).name), file, std::move(summary), {}, job.energy_uj()};
}

}  // namespace perjoule::bus
