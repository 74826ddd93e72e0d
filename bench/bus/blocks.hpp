// The bus benchmark's stream as blocks of our own engine: what a client makes of its rows. Thread rule: one
// thread per BlockMaker. Ownership: blocks are values.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/bus/generator.hpp"
#include "bus/block.hpp"

namespace perjoule::bench {

class BlockMaker {
 public:
  // The sources are NAME/joules and NAME/samples.
  explicit BlockMaker(std::string name = "generator") : name_(std::move(name)) { renew(); }

  // The batch's joules and its samples; empty for none. One source each, numbered by batch.
  std::pair<std::string, std::string> encode(const EventBatch& batch);

 private:
  void renew();
  std::string joules(const EventBatch& batch);
  std::string samples(const EventBatch& batch);
  static std::string finish(bus::TableBuilder& builder, bus::Table table, std::string_view source,
                            std::uint64_t seq);

  const std::string name_;
  std::unique_ptr<base::SymbolTable> symbols_;
  std::unique_ptr<bus::TableBuilder> joules_, samples_;
  std::vector<base::Symbol> devices_, tenants_, models_, epochs_, kernels_, phases_, signals_, requests_;
  base::Symbol source_, method_;
  std::uint64_t uses_ = 0;
};

}  // namespace perjoule::bench
