// Batches are held against their defining rules, recomputed here the slow way.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>

#include "framework/base/error.h"
#include "frontends/data/batching.h"
#include "frontends/data/random.h"

namespace fovea::data {
namespace {

std::vector<TokenPair> make_pairs(int64_t count) {
  std::vector<TokenPair> pairs(count);
  for (int64_t i = 0; i < count; ++i) {
    pairs[i].source.assign(1 + i * 7 % 13, static_cast<int32_t>(i + 1));
    pairs[i].target.assign(2 + i * 11 % 17, static_cast<int32_t>(i + 1));
  }
  return pairs;
}

std::vector<int64_t> flattened(const Groups& groups) {
  std::vector<int64_t> all;
  for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
  return all;
}

void expect_each_once(const Groups& groups, int64_t count) {
  std::vector<int64_t> all = flattened(groups), expected(count);
  std::sort(all.begin(), all.end());
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(Random, FirstNumbersOfSplitMix64) {
  // With the state 0 the generator's published sequence starts e220a8397b1dcdaf, 6e789e6aa1b965f4; the
  // seeding here puts a mix in front, so the published step and mix are applied to the same start.
  const auto mix = [](uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  EXPECT_EQ(mix(0x9e3779b97f4a7c15u), 0xe220a8397b1dcdafu);
  uint64_t state = mix(mix(42) + 0x9e3779b97f4a7c15u * 4);
  Random random(42, 3);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(random.next(), mix(state += 0x9e3779b97f4a7c15u));
}

TEST(Random, NumbersAreUniform) {
  Random random(1, 0);
  std::vector<int> counts(7);
  double sum = 0;
  for (int i = 0; i < 70'000; ++i) {
    ++counts[random.below(7)];
    const double u = random.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);  // 5 standard deviations are 463
  EXPECT_NEAR(sum / 70'000, 0.5, 0.006);
}

TEST(BucketBatches, EveryPairOnceAndWithinTheTokenBudget) {
  const auto pairs = make_pairs(500);
  const Groups groups = bucket_batches(pairs, 64, 7, 0);
  expect_each_once(groups, 500);
  for (const auto& group : groups) {
    size_t width = 0;
    for (const int64_t i : group) width = std::max(width, pairs[i].target.size());
    EXPECT_LE(width * group.size(), 64u);
  }
}

TEST(BucketBatches, LengthsWithinABatchAreClose) {
  const auto pairs = make_pairs(2000);
  Groups groups = bucket_batches(pairs, 256, 7, 0);
  // Sorted by (length + up to 2), so lengths run backwards by less than 2 anywhere in a batch and in all of
  // them in order.
  size_t spread = 0;
  for (const auto& group : groups) {
    size_t longest = 0;
    for (const int64_t i : group) {
      longest = std::max(longest, pairs[i].target.size());
      EXPECT_LE(longest - pairs[i].target.size(), 2u);
    }
    spread = std::max(spread, longest - pairs[group[0]].target.size());
  }
  EXPECT_LE(spread, 4u);
}

TEST(BucketBatches, ABatchIsClosedOnlyWhenFull) {
  const auto pairs = make_pairs(500);
  Groups groups = bucket_batches(pairs, 64, 7, 0);
  // Back in the order before the shuffle, each batch must have had no room for the first pair of the next.
  std::sort(groups.begin(), groups.end(), [&](const auto& a, const auto& b) {
    return pairs[a[0]].target.size() + pairs[a.back()].target.size() <
           pairs[b[0]].target.size() + pairs[b.back()].target.size();
  });
  int full = 0;
  for (const auto& group : groups) {
    size_t width = 0;
    for (const int64_t i : group) width = std::max(width, pairs[i].target.size());
    full += (width + 2) * (group.size() + 1) > 64;  // the next pair is at most 2 longer
  }
  EXPECT_GE(full, static_cast<int>(groups.size()) - 1);  // all but the very last
}

TEST(BucketBatches, SeedAndEpochDecide) {
  const auto pairs = make_pairs(300);
  EXPECT_EQ(bucket_batches(pairs, 64, 7, 3), bucket_batches(pairs, 64, 7, 3));
  EXPECT_NE(bucket_batches(pairs, 64, 7, 3), bucket_batches(pairs, 64, 7, 4));
  EXPECT_NE(bucket_batches(pairs, 64, 7, 3), bucket_batches(pairs, 64, 8, 3));
}

TEST(BucketBatches, ALongPairStandsAlone) {
  std::vector<TokenPair> pairs(3);
  for (TokenPair& pair : pairs) pair.target.assign(100, 1);
  const Groups groups = bucket_batches(pairs, 64, 0, 0);
  ASSERT_EQ(groups.size(), 3u);
  for (const auto& group : groups) EXPECT_EQ(group.size(), 1u);
}

TEST(BucketBatches, BadArgumentsAreTyped) {
  const auto pairs = make_pairs(2);
  EXPECT_THROW(bucket_batches({}, 64, 0, 0), Error);
  EXPECT_THROW(bucket_batches(pairs, 0, 0, 0), Error);
  EXPECT_THROW(bucket_batches(pairs, 64, 0, -1), Error);
  EXPECT_THROW(index_batches(-1, {}, 0, 0), Error);
  EXPECT_THROW(index_batches(4, {.batch_size = 0}, 0, 0), Error);
  const int64_t row = 2;
  try {
    pad_batch(pairs, {&row, 1});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "pair 2 is out of range, there are 2");
  }
}

TEST(IndexBatches, SizesOrderAndRemainder) {
  const Groups plain = index_batches(7, {.batch_size = 3, .shuffle = false}, 0, 0);
  EXPECT_EQ(plain, (Groups{{0, 1, 2}, {3, 4, 5}, {6}}));
  EXPECT_EQ(index_batches(7, {.batch_size = 3, .shuffle = false, .drop_last = true}, 0, 0),
            (Groups{{0, 1, 2}, {3, 4, 5}}));
  EXPECT_TRUE(index_batches(0, {}, 0, 0).empty());
  const Groups shuffled = index_batches(1000, {.batch_size = 64}, 5, 2);
  expect_each_once(shuffled, 1000);
  EXPECT_EQ(shuffled, index_batches(1000, {.batch_size = 64}, 5, 2));
  EXPECT_NE(shuffled, index_batches(1000, {.batch_size = 64}, 5, 3));
  EXPECT_FALSE(std::is_sorted(shuffled[0].begin(), shuffled[0].end()));
  EXPECT_EQ(index_batches(5, {.batch_size = INT64_MAX}, 0, 0).size(), 1u);
}

TEST(PadBatch, PadsBehindEachRow) {
  const std::vector<TokenPair> pairs = {{{1, 2, 3}, {4}}, {{}, {}}, {{5}, {6, 7}}};
  const std::vector<int64_t> rows = {2, 0, 1};
  const TokenBatch batch = pad_batch(pairs, rows, -1);
  EXPECT_EQ(batch.rows, 3);
  EXPECT_EQ(batch.src_len, 3);
  EXPECT_EQ(batch.tgt_len, 2);
  EXPECT_EQ(batch.src, (std::vector<int32_t>{5, -1, -1, 1, 2, 3, -1, -1, -1}));
  EXPECT_EQ(batch.tgt, (std::vector<int32_t>{6, 7, 4, -1, -1, -1}));
}

// The loader fills its queue from a std::thread. Three batches per epoch, each telling where it comes from.
struct Tagged {
  int64_t seed, epoch, index;
  bool operator==(const Tagged&) const = default;
};

class TaggedSource : public BatchSource<Tagged> {
 public:
  explicit TaggedSource(std::atomic<int>* made = nullptr, int64_t fail_at = -1)
      : made_(made), fail_at_(fail_at) {}
  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    seed_ = static_cast<int64_t>(seed);
    epoch_ = epoch;
    return 3;
  }
  Tagged make(int64_t index) override {
    if (made_ != nullptr) ++*made_;
    if (epoch_ * 3 + index == fail_at_) throw std::runtime_error("disk on fire");
    return {seed_, epoch_, index};
  }

 private:
  std::atomic<int>* made_;
  int64_t fail_at_, seed_ = 0, epoch_ = 0;
};

TEST(Loader, GoesThroughEpochAfterEpoch) {
  Loader<Tagged> loader(std::make_unique<TaggedSource>(), {.seed = 9});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(loader.position(), (LoaderPosition{9, epoch, i}));
      EXPECT_EQ(loader.next(), (Tagged{9, epoch, i}));
    }
    EXPECT_FALSE(loader.next().has_value());
  }
}

TEST(Loader, ARestoredPositionGoesOnIdentically) {
  const auto pairs = make_pairs(200);
  const LoaderPosition start{.seed = 3, .epoch = 0, .batch = 0};
  const auto take = [](Loader<TokenBatch>& loader, int count) {
    std::vector<std::vector<int32_t>> seen;
    for (int i = 0; i < count; ++i) {
      const auto batch = loader.next();
      seen.push_back(batch ? batch->tgt : std::vector<int32_t>{-7});
    }
    return seen;
  };
  const int per_epoch = static_cast<int>(bucket_batches(pairs, 64, 3, 0).size()) + 1;  // and the end mark
  for (const int before : {0, 1, 5, per_epoch - 1, per_epoch, per_epoch + 3}) {
    Loader<TokenBatch> first(token_source(pairs, 64), start);
    take(first, before);
    const LoaderPosition position = first.position();
    const auto rest = take(first, 2 * per_epoch);
    Loader<TokenBatch> second(token_source(pairs, 64), position, 1);
    EXPECT_EQ(take(second, 2 * per_epoch), rest) << before;
    first.seek(position);
    EXPECT_EQ(take(first, 2 * per_epoch), rest) << before;
  }
}

TEST(Loader, MakesOnlySoManyAhead) {
  std::atomic<int> made = 0;
  Loader<Tagged> loader(std::make_unique<TaggedSource>(&made), {}, 2);
  EXPECT_EQ(made, 0);  // nothing before the first call
  for (int i = 0; i < 200; ++i) {
    loader.next();
    // Taken, waiting in the queue, and one in the hands of the thread; end marks take a place too.
    ASSERT_LE(made, i + 1 + 2 + 1);
  }
}

TEST(Loader, ShutsDownWithoutReadingToTheEnd) {
  for (int taken = 0; taken < 5; ++taken) {
    Loader<Tagged> loader(std::make_unique<TaggedSource>(), {}, 1 + taken % 3);
    for (int i = 0; i < taken; ++i) loader.next();
  }
}

TEST(Loader, ForwardsWhatTheSourceThrows) {
  Loader<Tagged> loader(std::make_unique<TaggedSource>(nullptr, 4));
  for (int i = 0; i < 5; ++i) loader.next();  // 3 batches, the end, 1 batch
  for (int i = 0; i < 2; ++i) {
    try {
      loader.next();
      FAIL() << "no error";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "disk on fire");
    }
  }
  EXPECT_EQ(loader.position(), (LoaderPosition{0, 1, 1}));
  loader.seek({.seed = 0, .epoch = 5, .batch = 2});
  EXPECT_EQ(loader.next(), (Tagged{0, 5, 2}));
}

TEST(Loader, CanBeMovedWhileItRuns) {
  Loader<Tagged> first(std::make_unique<TaggedSource>());
  first.next();
  Loader<Tagged> second(std::move(first));
  EXPECT_EQ(second.position(), (LoaderPosition{0, 0, 1}));
  EXPECT_EQ(second.next(), (Tagged{0, 0, 1}));
}

TEST(Loader, ImpossiblePositionsAreTyped) {
  EXPECT_THROW(Loader<Tagged>(std::make_unique<TaggedSource>(), {.epoch = -1}), Error);
  EXPECT_THROW(Loader<Tagged>(std::make_unique<TaggedSource>(), {}, 0), Error);
  Loader<Tagged> loader(std::make_unique<TaggedSource>(), {.batch = 4});
  try {
    loader.next();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_EQ(error.message().rfind("batch 4 lies beyond the 3 batches of epoch 0", 0), 0u);
  }
  EXPECT_THROW(loader.seek({.batch = -1}), Error);
}

}  // namespace
}  // namespace fovea::data
