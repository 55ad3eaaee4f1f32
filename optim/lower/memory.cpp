#include "optim/lower/memory.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory_resource>
#include <numeric>
#include <set>

#include "framework/base/checked.h"

namespace fovea {
namespace {

constexpr int64_t kAlignment = 64;
constexpr size_t kFew = 4096;          // so many blocks are placed in several orders, the best is kept
constexpr size_t kPairs = 12'000'000;  // pairs of blocks compared over all orders: some 10 ms
using Order = std::vector<int32_t>;

int32_t last_step(const std::vector<Lifetime>& blocks) {
  int32_t last = 0;
  for (const Lifetime& b : blocks) last = std::max(last, b.last);
  return last;
}

// Bytes alive at each step.
std::vector<int64_t> profile(const std::vector<Lifetime>& blocks) {
  std::vector<int64_t> live(static_cast<size_t>(last_step(blocks)) + 2, 0);
  for (const Lifetime& b : blocks) {
    const int64_t bytes = round_up(b.bytes, kAlignment);
    live[static_cast<size_t>(b.first)] = checked_add(live[static_cast<size_t>(b.first)], bytes, "the arena");
    live[static_cast<size_t>(b.last) + 1] -= bytes;
  }
  for (size_t i = 1; i < live.size(); ++i) live[i] = checked_add(live[i], live[i - 1], "the arena");
  return live;
}

// A block that has its place. Kept apart from Lifetime, packed: placing walks over all of them.
struct Placed {
  int64_t offset, end;
  int32_t first, last;
};

// Each block in turn into the smallest gap that holds it between blocks alive at the same time. Gives up,
// returning INT64_MAX, as soon as `bound` bytes are passed.
int64_t place(const std::vector<Lifetime>& blocks, const Order& order, int64_t bound,
              std::vector<int64_t>& offsets) {
  std::vector<Placed> placed;  // ascending offsets
  placed.reserve(order.size());
  int64_t total = 0;
  for (int32_t id : order) {
    const Lifetime& block = blocks[id];
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (const Placed& other : placed) {
      if (other.last < block.first || block.last < other.first) continue;
      const int64_t gap = other.offset - end;
      if (gap >= block.bytes && gap < best_gap) best = end, best_gap = gap;
      end = std::max(end, other.end);
    }
    const int64_t offset = best >= 0 ? best : end;
    const Placed mine{offset, checked_add(offset, block.bytes, "the arena"), block.first, block.last};
    total = std::max(total, mine.end);
    if (total >= bound) return INT64_MAX;
    offsets[id] = offset;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), mine,
                                   [](const Placed& a, const Placed& b) { return a.offset < b.offset; }),
                  mine);
  }
  return total;
}

// Orders worth trying, the usually best first. What is alive at the fullest step is packed without a gap when
// it is placed first.
std::vector<std::function<bool(int32_t, int32_t)>> orders(const std::vector<Lifetime>& blocks,
                                                          int32_t fullest) {
  auto length = [](const Lifetime& b) { return static_cast<int64_t>(b.last) - b.first + 1; };
  auto by = [&blocks](auto key) {
    return [&blocks, key](int32_t a, int32_t b) {
      const auto x = key(blocks[a]), y = key(blocks[b]);
      return x != y ? x > y : a < b;
    };
  };
  auto crosses = [fullest](const Lifetime& b) { return b.first <= fullest && fullest <= b.last; };
  using Pair = std::pair<int64_t, int64_t>;
  using Triple = std::tuple<bool, int64_t, int64_t>;
  return {
      by([](const Lifetime& b) { return b.bytes; }),
      by([=](const Lifetime& b) { return Triple(crosses(b), length(b), b.bytes); }),
      by([=](const Lifetime& b) { return Triple(crosses(b), b.bytes, length(b)); }),
      by([=](const Lifetime& b) { return Pair(length(b), b.bytes); }),
      by([=](const Lifetime& b) {
        return Pair(static_cast<int64_t>(static_cast<double>(b.bytes) * static_cast<double>(length(b)) / 64),
                    0);
      }),
      by([](const Lifetime& b) { return Pair(-b.first, b.bytes); }),
      by([](const Lifetime& b) { return Pair(b.last, b.bytes); }),
  };
}

int64_t place_few(std::vector<Lifetime>& blocks, const Order& ids) {
  const std::vector<int64_t> live = profile(blocks);
  const auto fullest = std::max_element(live.begin(), live.end());
  std::vector<int64_t> offsets(blocks.size(), 0);
  int64_t best = INT64_MAX;
  size_t pairs = 0;
  for (const auto& before : orders(blocks, static_cast<int32_t>(fullest - live.begin()))) {
    if (best == *fullest || pairs > kPairs) break;
    pairs += ids.size() * ids.size() / 2;
    Order order = ids;
    std::sort(order.begin(), order.end(), before);
    const int64_t total = place(blocks, order, best, offsets);
    if (total == INT64_MAX) continue;
    best = total;
    for (int32_t id : ids) blocks[id].offset = offsets[id];
  }
  return best;
}

// Free memory below the top, by offset and by size.
class FreeList {
 public:
  explicit FreeList(std::pmr::memory_resource* memory) : by_offset_(memory), by_size_(memory) {}

  int64_t take(int64_t bytes) {
    auto fit = by_size_.lower_bound({bytes, 0});
    if (fit == by_size_.end()) {
      const int64_t at = top_;
      top_ = checked_add(top_, bytes, "the arena");
      most_ = std::max(most_, top_);
      return at;
    }
    const auto [size, offset] = *fit;
    remove(offset, size);
    if (size > bytes) insert(offset + bytes, size - bytes);
    return offset;
  }

  void give(int64_t offset, int64_t bytes) {
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && offset + bytes == next->first) {
      const auto [at, size] = *next;
      bytes += size;
      remove(at, size);
      next = by_offset_.lower_bound(offset);
    }
    if (next != by_offset_.begin()) {
      const auto [at, size] = *std::prev(next);
      if (at + size == offset) {
        remove(at, size);
        offset = at;
        bytes += size;
      }
    }
    if (offset + bytes == top_)
      top_ = offset;
    else
      insert(offset, bytes);
  }

  int64_t most() const { return most_; }

 private:
  void insert(int64_t offset, int64_t size) {
    by_offset_.emplace(offset, size);
    by_size_.emplace(size, offset);
  }
  void remove(int64_t offset, int64_t size) {
    by_offset_.erase(offset);
    by_size_.erase({size, offset});
  }

  std::pmr::map<int64_t, int64_t> by_offset_;
  std::pmr::set<std::pair<int64_t, int64_t>> by_size_;
  int64_t top_ = 0, most_ = 0;
};

// Ids grouped by step: those of step s are at ids[begin[s]] up to ids[begin[s + 1]].
struct BySteps {
  template <class Step>
  BySteps(const Order& order, int32_t steps, Step step) : begin(static_cast<size_t>(steps) + 2, 0) {
    for (int32_t id : order) ++begin[static_cast<size_t>(step(id)) + 1];
    for (size_t s = 1; s < begin.size(); ++s) begin[s] += begin[s - 1];
    ids.resize(order.size());
    std::vector<int32_t> at(begin.begin(), begin.end() - 1);
    for (int32_t id : order) ids[static_cast<size_t>(at[static_cast<size_t>(step(id))]++)] = id;
  }
  std::vector<int32_t> begin, ids;
};

// One sweep over time with a free list: for plans of any length.
int64_t place_many(std::vector<Lifetime>& blocks, const Order& ids) {
  const int32_t steps = last_step(blocks) + 1;
  const BySteps born(ids, steps, [&](int32_t id) { return blocks[id].first; });
  const BySteps gone(ids, steps, [&](int32_t id) { return blocks[id].last; });
  std::pmr::unsynchronized_pool_resource memory;
  FreeList free(&memory);
  Order now;
  for (int32_t s = 0; s < steps; ++s) {
    if (s > 0)
      for (int32_t i = gone.begin[s - 1]; i < gone.begin[s]; ++i)
        free.give(blocks[gone.ids[i]].offset, blocks[gone.ids[i]].bytes);
    now.assign(born.ids.begin() + born.begin[s], born.ids.begin() + born.begin[s + 1]);
    std::stable_sort(now.begin(), now.end(),
                     [&](int32_t a, int32_t b) { return blocks[a].bytes > blocks[b].bytes; });
    for (int32_t id : now) blocks[id].offset = free.take(blocks[id].bytes);
  }
  return free.most();
}

}  // namespace

int64_t plan_memory(std::vector<Lifetime>& blocks) {
  Order ids;
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].bytes = round_up(blocks[i].bytes, kAlignment);
    if (blocks[i].bytes > 0) ids.push_back(static_cast<int32_t>(i));
  }
  if (ids.empty()) return 0;
  return ids.size() <= kFew ? place_few(blocks, ids) : place_many(blocks, ids);
}

int64_t largest_live_set(const std::vector<Lifetime>& blocks) {
  const std::vector<int64_t> live = profile(blocks);
  return *std::max_element(live.begin(), live.end());
}

}  // namespace fovea
