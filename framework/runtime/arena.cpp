#include "framework/runtime/arena.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "framework/runtime/pages.h"

namespace fovea {
namespace {

std::mutex mutex;
std::vector<std::shared_ptr<Buffer>>& idle() {
  static auto* blocks = new std::vector<std::shared_ptr<Buffer>>;
  return *blocks;
}
constexpr size_t kIdleBlocks = 8;  // more than this many concurrent runs pay an allocation each

}  // namespace

Arena::Arena(int64_t bytes) {
  {
    std::lock_guard lock(mutex);
    auto& blocks = idle();
    // The smallest block that is large enough. Blocks are kept ascending in size.
    auto at = std::find_if(blocks.begin(), blocks.end(), [&](auto& b) { return b->bytes() >= bytes; });
    if (at != blocks.end()) {
      block_ = std::move(*at);
      blocks.erase(at);
      return;
    }
    if (!blocks.empty())
      blocks.pop_back();  // too small for this run: its pages are better given to the larger one
  }
  block_ = Buffer::allocate(std::max<int64_t>(bytes, 64));
  take_pages(*block_);
  fresh_ = true;
}

Arena::~Arena() {
  if (fresh_) block_->prefer_huge_pages();
  std::lock_guard lock(mutex);
  auto& blocks = idle();
  if (blocks.size() >= kIdleBlocks) return;
  auto at =
      std::find_if(blocks.begin(), blocks.end(), [&](auto& b) { return b->bytes() >= block_->bytes(); });
  blocks.insert(at, std::move(block_));
}

void trim_arenas() {
  std::lock_guard lock(mutex);
  idle().clear();
}

}  // namespace fovea
