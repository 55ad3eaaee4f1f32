// Memory that a block uses and then forgets.
#pragma once

#include <cstdint>

namespace fovea::onednn {

/// At least `bytes` bytes aligned to 64, owned by the calling thread and valid until its next call here. It
/// stays warm in the cache from block to block, and is allocated anew only when a larger block comes along.
char* thread_scratch(int64_t bytes);

}  // namespace fovea::onednn
