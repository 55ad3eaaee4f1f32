// Cutting work into blocks by shapes alone.
#pragma once

#include <algorithm>
#include <functional>

#include "framework/runtime/thread_pool.h"

namespace fovea {

/// A range of items cut into equal blocks of at least `grain` items, at most `most` of them.
struct Blocks {
  int64_t items = 0, each = 1, count = 0;
  Blocks() = default;
  Blocks(int64_t items, int64_t grain, int64_t most = 256) : items(items) {
    each = std::max({int64_t{1}, grain, (items + most - 1) / most});
    count = (items + each - 1) / each;
  }
  int64_t begin(int64_t block) const { return block * each; }
  int64_t end(int64_t block) const { return std::min(items, (block + 1) * each); }
};

/// body(block, begin, end) for each block; a single block runs at once on this thread. Allocates nothing.
template <class F>
void for_blocks(ThreadPool& pool, const Blocks& blocks, F&& body) {
  auto one = [&](int64_t b) { body(b, blocks.begin(b), blocks.end(b)); };
  if (blocks.count == 1) return one(0);
  if (blocks.count > 1) pool.parallel_for(blocks.count, std::ref(one));
}

}  // namespace fovea
