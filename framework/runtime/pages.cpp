#include "framework/runtime/pages.h"

#include <algorithm>

#include "framework/runtime/thread_pool.h"

namespace fovea {

void take_pages(const Buffer& buffer) {
  constexpr int64_t kLarge = int64_t{4} << 20;
  constexpr int64_t kPiece = int64_t{2}
                             << 20;  // what one table of pages maps: threads don't wait for its lock
  if (buffer.bytes() < kLarge) return;
  default_pool().parallel_for((buffer.bytes() + kPiece - 1) / kPiece, [&](int64_t i) {
    buffer.take_pages(i * kPiece, std::min(kPiece, buffer.bytes() - i * kPiece));
  });
}

}  // namespace fovea
