#include "frontends/data/batching.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "frontends/data/random.h"

namespace fovea::data {
namespace {

struct SortKey {
  double target;
  size_t source;
  int64_t index;
};

std::vector<SortKey> sorted_keys(std::span<const TokenPair> pairs, Random& random) {
  std::vector<SortKey> keys;
  keys.reserve(pairs.size());
  for (const TokenPair& pair : pairs)
    keys.push_back({static_cast<double>(pair.target.size()) + 2 * random.uniform(), pair.source.size(),
                    static_cast<int64_t>(keys.size())});
  std::sort(keys.begin(), keys.end(), [](const SortKey& a, const SortKey& b) {
    if (a.target != b.target) return a.target < b.target;
    return a.source != b.source ? a.source < b.source : a.index < b.index;
  });
  return keys;
}

void check_epoch(int64_t epoch) {
  if (epoch < 0) invalid("epoch is " + std::to_string(epoch) + ", it must not be negative");
}

// Copies one side of the chosen pairs into rows of equal length; returns that length.
int64_t pad_side(std::span<const TokenPair> pairs, std::span<const int64_t> rows,
                 std::vector<int32_t> TokenPair::*side, int32_t pad, std::vector<int32_t>& out) {
  size_t length = 0;
  for (const int64_t row : rows) length = std::max(length, (pairs[row].*side).size());
  out.assign(checked_mul(static_cast<int64_t>(rows.size()), static_cast<int64_t>(length), "a padded batch"),
             pad);
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::vector<int32_t>& tokens = pairs[rows[i]].*side;
    std::copy(tokens.begin(), tokens.end(), out.begin() + static_cast<int64_t>(i * length));
  }
  return static_cast<int64_t>(length);
}

class TokenSource final : public BatchSource<TokenBatch> {
 public:
  TokenSource(std::span<const TokenPair> pairs, int64_t batch_tokens, int32_t pad)
      : pairs_(pairs), batch_tokens_(batch_tokens), pad_(pad) {}

  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    groups_ = bucket_batches(pairs_, batch_tokens_, seed, epoch);
    return static_cast<int64_t>(groups_.size());
  }
  TokenBatch make(int64_t index) override { return pad_batch(pairs_, groups_[index], pad_); }

 private:
  std::span<const TokenPair> pairs_;
  int64_t batch_tokens_;
  int32_t pad_;
  Groups groups_;
};

class IndexSource final : public BatchSource<std::vector<int64_t>> {
 public:
  IndexSource(int64_t count, const IndexBatchOptions& options) : count_(count), options_(options) {}

  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    groups_ = index_batches(count_, options_, seed, epoch);
    return static_cast<int64_t>(groups_.size());
  }
  std::vector<int64_t> make(int64_t index) override { return groups_[index]; }

 private:
  int64_t count_;
  IndexBatchOptions options_;
  Groups groups_;
};

}  // namespace

Groups bucket_batches(std::span<const TokenPair> pairs, int64_t batch_tokens, uint64_t seed, int64_t epoch) {
  if (pairs.empty()) invalid("batches need at least one pair, there are 0");
  if (batch_tokens < 1)
    invalid("batch_tokens is " + std::to_string(batch_tokens) + ", it must be at least 1");
  check_epoch(epoch);
  Random random(seed, static_cast<uint64_t>(epoch));
  Groups groups(1);
  int64_t width = 0;
  for (const SortKey& key : sorted_keys(pairs, random)) {
    const auto length = static_cast<int64_t>(pairs[key.index].target.size());
    width = std::max(width, length);
    const auto rows = static_cast<int64_t>(groups.back().size());
    if (rows > 0 && checked_mul(width, rows + 1, "a batch") > batch_tokens) {
      groups.emplace_back();
      width = length;
    }
    groups.back().push_back(key.index);
  }
  random.shuffle(groups);
  return groups;
}

Groups index_batches(int64_t count, const IndexBatchOptions& options, uint64_t seed, int64_t epoch) {
  if (count < 0) invalid("the item count is " + std::to_string(count) + ", it must not be negative");
  if (options.batch_size < 1)
    invalid("batch_size is " + std::to_string(options.batch_size) + ", it must be at least 1");
  check_epoch(epoch);
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), int64_t{0});
  if (options.shuffle) Random(seed, static_cast<uint64_t>(epoch)).shuffle(order);
  Groups groups;
  for (int64_t begin = 0; begin < count; begin += std::min(options.batch_size, count - begin)) {
    const int64_t end = begin + std::min(options.batch_size, count - begin);
    if (options.drop_last && end - begin < options.batch_size) break;
    groups.emplace_back(order.begin() + begin, order.begin() + end);
  }
  return groups;
}

TokenBatch pad_batch(std::span<const TokenPair> pairs, std::span<const int64_t> rows, int32_t pad) {
  for (const int64_t row : rows)
    if (row < 0 || row >= static_cast<int64_t>(pairs.size()))
      invalid("pair " + std::to_string(row) + " is out of range, there are " + std::to_string(pairs.size()));
  TokenBatch batch;
  batch.rows = static_cast<int64_t>(rows.size());
  batch.src_len = pad_side(pairs, rows, &TokenPair::source, pad, batch.src);
  batch.tgt_len = pad_side(pairs, rows, &TokenPair::target, pad, batch.tgt);
  return batch;
}

std::unique_ptr<BatchSource<TokenBatch>> token_source(std::span<const TokenPair> pairs, int64_t batch_tokens,
                                                      int32_t pad) {
  return std::make_unique<TokenSource>(pairs, batch_tokens, pad);
}

std::unique_ptr<BatchSource<std::vector<int64_t>>> index_source(int64_t count,
                                                                const IndexBatchOptions& options) {
  return std::make_unique<IndexSource>(count, options);
}

}  // namespace fovea::data
