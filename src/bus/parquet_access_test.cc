#include <set>

#include "bus/test_parquet.hpp"

// Reading parts of a file: ranges of rows, zone maps, Bloom filters, the footer's own hash.
namespace perjoule::bus {
namespace {

using namespace testing;

constexpr std::size_t kTime = 0, kName = 3;

std::string file_of(const std::vector<Batch>& groups, const EncodingOptions& options,
                    TailHash* tail = nullptr) {
  auto writer = ParquetWriter::create(base::posix_env(), scratch_file(), kSchema);
  for (const auto& g : groups) EXPECT_TRUE(writer->append(*encode_row_group(kSchema, g, options)).ok());
  const auto summary = writer->seal();
  if (tail != nullptr) *tail = summary->tail;
  std::string bytes = *base::posix_env().read_file(scratch_file());
  std::filesystem::remove(scratch_file());
  return bytes;
}

template <class T>
void keep(std::vector<T>& v, std::size_t from, std::size_t to) {
  if (v.empty()) return;
  v = std::vector<T>(v.begin() + static_cast<std::ptrdiff_t>(from),
                     v.begin() + static_cast<std::ptrdiff_t>(to));
}

Batch part_of(Batch b, std::size_t from, std::size_t to) {
  b.rows = to - from;
  for (auto& c : b.columns) {
    keep(c.ints, from, to);
    keep(c.doubles, from, to);
    keep(c.bools, from, to);
    keep(c.codes, from, to);
    keep(c.valid, from, to);
  }
  return b;
}

TEST(ParquetAccess, ARangeOfRowsIsThatPartOfAll) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Source source(seed);
    const std::size_t rows = 1 + source.below(200);
    const Batch all = source.batch(rows);
    const auto file = ParquetFile::open(write({all}, 1 + source.below(60)), "f");
    ASSERT_TRUE(file.ok());
    for (int round = 0; round < 20; ++round) {
      const std::size_t from = source.below(rows + 1), to = from + source.below(rows + 1 - from);
      const auto part = file->read(0, kAll, {from, to});
      ASSERT_TRUE(part.ok()) << part.error().message();
      expect_same(*part, part_of(all, from, to));
    }
    EXPECT_EQ(file->read(0, kAll, {rows + 5, rows + 9})->rows, 0U);
  }
}

// Codes in runs of a few to hundreds of rows, as sorting leaves them.
void make_runs(Source& source, Column& c) {
  for (std::size_t i = 0; i < c.codes.size();) {
    const std::uint32_t code = c.codes[i];
    const std::size_t end = std::min(c.codes.size(), i + 1 + source.below(source.below(3) == 0 ? 400 : 12));
    for (; i < end; ++i) c.codes[i] = code;
  }
}

TEST(ParquetAccess, SelectingAndPickingCodesIsReadingAllOfThem) {
  constexpr std::array<std::size_t, 2> kTexts{kName, 4};
  std::size_t some = 0, partly = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    Source source(seed);
    for (int i = 0; i < 300; ++i) source.texts.push_back("text " + std::to_string(i));
    const std::size_t rows = 1 + source.below(4000);
    Batch all = source.batch(rows);
    for (const auto c : kTexts) {
      if (source.below(3) != 0) make_runs(source, all.columns[c]);
    }
    const auto file = ParquetFile::open(write({all}, 1 + source.below(2000)), "f");
    ASSERT_TRUE(file.ok());
    for (int round = 0; round < 6; ++round) {
      const std::size_t from = source.below(rows), to = from + source.below(rows + 1 - from);
      const std::size_t column = kTexts[source.below(2)];
      const Column expected = file->read(0, std::array{column}, {from, to})->columns[0];
      const std::size_t entries = expected.dictionary.size();
      std::vector<std::uint8_t> passes(entries + 1);
      const std::uint64_t one_in = 1 + source.below(5);
      for (auto& p : passes) p = source.below(one_in) == 0 ? 1 : 0;
      if (round == 0) std::fill(passes.begin(), passes.end(), std::uint8_t{0}), passes[entries / 2] = 1;
      const auto code_of = [&](std::size_t row) {
        return std::min(expected.codes[row], static_cast<std::uint32_t>(entries));
      };
      std::vector<std::uint32_t> wanted, places, selected, codes;
      for (std::uint32_t i = 0; i < to - from; ++i) {
        if (passes[code_of(i)] != 0) wanted.push_back(i);
        if (source.below(one_in * 3) == 0) places.push_back(i);
      }
      ASSERT_TRUE(file->select(0, column, {from, to}, passes, selected).ok());
      ASSERT_EQ(selected, wanted) << "seed " << seed;
      ASSERT_TRUE(file->pick(0, column, {from, to}, places, entries, codes).ok());
      ASSERT_EQ(codes.size(), places.size());
      for (std::size_t i = 0; i < places.size(); ++i)
        ASSERT_EQ(codes[i], code_of(places[i])) << "seed " << seed;
      some += wanted.size();
      if (wanted.size() < to - from) ++partly;
    }
  }
  EXPECT_GT(some, 10'000U);
  EXPECT_GT(partly, 100U);
}

TEST(ParquetAccess, ADamagedPageIsNeitherSelectedFromNorPicked) {
  Source source(3);
  Batch all = source.batch(100);
  for (auto& code : all.columns[4].codes) code = static_cast<std::uint32_t>(source.below(4));
  std::string bytes = write({all}, 10);
  const auto whole = ParquetFile::open(bytes, "f");
  const auto pages = *whole->pages(0, 4);
  const std::size_t entries = whole->read(0, std::array<std::size_t, 1>{4})->columns[0].dictionary.size();
  bytes[static_cast<std::size_t>(pages[4].offset + pages[4].stored_bytes) - 1] ^= 1;
  const auto file = ParquetFile::open(bytes, "f");
  ASSERT_TRUE(file.ok());
  const std::vector<std::uint8_t> passes(entries + 1, 1);
  std::vector<std::uint32_t> out;
  EXPECT_TRUE(file->select(0, 4, {50, 100}, passes, out).ok());
  EXPECT_EQ(file->select(0, 4, {0, 100}, passes, out).error().kind, base::ErrorKind::kCorrupt);
  EXPECT_TRUE(file->pick(0, 4, {0, 100}, std::array<std::uint32_t, 2>{3, 99}, entries, out).ok());
  EXPECT_EQ(file->pick(0, 4, {0, 100}, std::array<std::uint32_t, 2>{3, 44}, entries, out).error().kind,
            base::ErrorKind::kCorrupt);
}

TEST(ParquetAccess, PagesOutsideTheRangeAreNotLookedAt) {
  Source source(3);
  const Batch all = source.batch(100);
  std::string bytes = write({all}, 10);
  const auto whole = ParquetFile::open(bytes, "f");
  const auto pages = whole->pages(0, kTime);
  ASSERT_EQ(pages->size(), 10U);
  bytes[static_cast<std::size_t>((*pages)[4].offset) + 2] ^= 1;  // rows 40 to 49
  const auto file = ParquetFile::open(bytes, "f");
  ASSERT_TRUE(file.ok());
  expect_same(*file->read(0, kAll, {50, 100}), part_of(all, 50, 100));
  expect_same(*file->read(0, kAll, {0, 40}), part_of(all, 0, 40));
  EXPECT_FALSE(file->read(0, kAll, {39, 41}).ok());
  EXPECT_FALSE(file->read(0, kAll).ok());
}

TEST(ParquetAccess, ZoneMapsAreThePagesBounds) {
  Source source(4);
  const Batch all = source.batch(100);
  const auto file = ParquetFile::open(write({all}, 16), "f");
  const auto pages = file->pages(0, kTime);
  for (std::size_t p = 0; p < pages->size(); ++p) {
    const auto from = all.columns[kTime].ints.begin() + static_cast<std::ptrdiff_t>(p * 16);
    const auto to =
        all.columns[kTime].ints.begin() + static_cast<std::ptrdiff_t>(std::min(all.rows, (p + 1) * 16));
    EXPECT_EQ(file->int_bounds(0, p, kTime),
              IntBounds(*std::min_element(from, to), *std::max_element(from, to)));
  }
  EXPECT_FALSE(file->int_bounds(0, pages->size(), kTime).has_value());
  EXPECT_FALSE(file->int_bounds(0, 0, kName).has_value());
}

TEST(ParquetAccess, TextsHaveBoundsToo) {
  Source source(5);
  Batch all = source.batch(6);
  all.columns[4].dictionary = {"c", "a", "b"};
  all.columns[4].codes = {0, 2, 2, 1, 1, 2};
  const auto file = ParquetFile::open(write({all}, 3), "f");
  EXPECT_EQ(file->text_bounds(0, 4), TextBounds("a", "c"));
  EXPECT_EQ(file->text_bounds(0, 0, 4), TextBounds("b", "c"));
  EXPECT_EQ(file->text_bounds(0, 1, 4), TextBounds("a", "b"));
}

// `n` rows with texts "id-<number>", numbers below `choices`.
Batch with_ids(Source& source, std::size_t n, std::uint64_t choices) {
  Batch b;
  b.rows = n;
  source.texts.reserve(source.texts.size() + n);  // columns look at them
  for (const auto& spec : kColumns) source.fill(b.columns.emplace_back(), spec, n, 0);
  Column& c = b.columns[kName];
  c = {};
  c.type = ColumnType::kText;
  for (std::size_t i = 0; i < n; ++i) {
    source.texts.push_back("id-" + std::to_string(source.below(choices)));
    c.codes.push_back(static_cast<std::uint32_t>(i));
  }
  c.dictionary.assign(source.texts.end() - static_cast<std::ptrdiff_t>(n), source.texts.end());
  return b;
}

TEST(ParquetAccess, BloomFilterNeverDeniesAndSeldomErrs) {
  for (const std::size_t n : {1U, 2U, 31U, 500U, 26'000U, 52'428U, 52'429U, 100'000U}) {
    Source source(n);
    const Batch b = with_ids(source, n, 1'000'000'000);
    const auto file = ParquetFile::open(write({b}, 1 << 16), "f");
    ASSERT_TRUE(file.ok());
    ASSERT_FALSE(file->check().has_value()) << file->check()->why;
    ASSERT_GE(file->meta().groups[0].columns[kName].bloom_at, 0);
    std::set<std::string_view> there(b.columns[kName].dictionary.begin(), b.columns[kName].dictionary.end());
    for (const auto text : there) ASSERT_TRUE(*file->may_contain(0, kName, text)) << text;
    std::size_t asked = 0, wrong = 0;
    for (int i = 0; i < 20'000; ++i) {
      const std::string text = "id-" + std::to_string(source.below(1'000'000'000));
      if (there.contains(text)) continue;
      ++asked;
      if (*file->may_contain(0, kName, text)) ++wrong;
    }
    EXPECT_LT(static_cast<double>(wrong), 0.02 * static_cast<double>(asked)) << n;
  }
}

TEST(ParquetAccess, WithoutValuesNothingIsContained) {
  Source source(6);
  Batch b = source.batch(20);
  b.columns[kName].codes.assign(20, kNullCode);
  const auto file = ParquetFile::open(write({b}, 8), "f");
  EXPECT_FALSE(*file->may_contain(0, kName, "a"));
  EXPECT_LT(file->meta().groups[0].columns[kName].bloom_at, 0);
}

TEST(ParquetAccess, ADamagedBloomFilterIsAnErrorNotAnAnswer) {
  Source source(7);
  std::string bytes = write({with_ids(source, 300, 1'000'000)}, 64);
  const auto whole = ParquetFile::open(bytes, "f");
  const auto& chunk = whole->meta().groups[0].columns[kName];
  bytes[static_cast<std::size_t>(chunk.bloom_at + chunk.bloom_bytes) - 7] ^= 4;
  const auto file = ParquetFile::open(bytes, "f");
  ASSERT_TRUE(file.ok());
  const auto answer = file->may_contain(0, kName, chunk.bounds.smallest);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, base::ErrorKind::kCorrupt);
  EXPECT_TRUE(file->read(0, kAll).ok()) << "the rows do not depend on it";
}

TEST(ParquetAccess, EveryFlippedBitOfIndexAndFooterIsFoundAtOpening) {
  Source source(8);
  TailHash tail;
  EncodingOptions options;
  options.page_rows = 16;
  const std::string bytes = file_of({source.batch(40)}, options, &tail);
  ASSERT_TRUE(ParquetFile::open(FileBytes::of(bytes), "f", tail).ok());
  for (std::size_t i = bytes.size() - tail.bytes; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    ASSERT_FALSE(ParquetFile::open(FileBytes::of(bad), "f", tail).ok()) << "byte " << i;
  }
}

TEST(ParquetAccess, TheOrderOfTheRowsIsWrittenDownWhenStated) {
  Source source(9);
  EncodingOptions options;
  options.sorted_by = {{kName, false, true}, {kTime, true, false}};
  const auto file = ParquetFile::open(file_of({source.batch(5), source.batch(5)}, options), "f");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->meta().groups[1].sorted_by, options.sorted_by);
  EXPECT_TRUE(ParquetFile::open(write({source.batch(5)}, 8), "f")->meta().groups[0].sorted_by.empty());
}

}  // namespace
}  // namespace perjoule::bus
