#include "optim/lower/memory.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "framework/base/checked.h"

namespace fovea {

int64_t plan_memory(std::vector<Lifetime>& blocks) {
  std::vector<int32_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return blocks[a].bytes != blocks[b].bytes ? blocks[a].bytes > blocks[b].bytes : a < b;
  });
  std::vector<int32_t> placed;  // ascending offsets
  placed.reserve(blocks.size());
  int64_t total = 0;
  for (int32_t id : order) {
    Lifetime& block = blocks[id];
    block.bytes = round_up(block.bytes, 64);
    if (block.bytes == 0) continue;
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (int32_t other_id : placed) {
      const Lifetime& other = blocks[other_id];
      if (other.last < block.first || block.last < other.first) continue;
      const int64_t gap = other.offset - end;
      if (gap >= block.bytes && gap < best_gap) best = end, best_gap = gap;
      end = std::max(end, other.offset + other.bytes);
    }
    block.offset = best >= 0 ? best : end;
    total = std::max(total, checked_add(block.offset, block.bytes, "the arena"));
    auto at = std::upper_bound(placed.begin(), placed.end(), block.offset,
                               [&](int64_t offset, int32_t p) { return offset < blocks[p].offset; });
    placed.insert(at, id);
  }
  return total;
}

int64_t largest_live_set(const std::vector<Lifetime>& blocks) {
  std::map<int32_t, int64_t> change;
  for (const Lifetime& b : blocks) {
    change[b.first] += round_up(b.bytes, 64);
    change[b.last + 1] -= round_up(b.bytes, 64);
  }
  int64_t live = 0, most = 0;
  for (const auto& [step, delta] : change) most = std::max(most, live += delta);
  return most;
}

}  // namespace fovea
