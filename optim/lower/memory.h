// Where values live while a plan runs.
#pragma once

#include <cstdint>
#include <vector>

namespace fovea {

/// A block of memory that is needed from step `first` to step `last`, both included.
struct Lifetime {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;
  int64_t offset = 0;  ///< the answer
};

/// Gives every block an offset, 64-byte aligned, such that blocks alive at the same step do not overlap:
/// largest first, each into the smallest gap that holds it. Returns the bytes of the arena.
int64_t plan_memory(std::vector<Lifetime>& blocks);

/// The largest sum of blocks alive at one step: no arena can be smaller.
int64_t largest_live_set(const std::vector<Lifetime>& blocks);

}  // namespace fovea
