// Kernels over [batch, channels, spatial].
#pragma once

#include "framework/backend/kernel.h"
#include "ops/shared/blocks.h"

namespace fovea {

/// x [N, C, ...] as [batch, channels, spatial], with blocks of channels (for statistics) and of samples (for
/// maps).
struct ChannelSizes {
  explicit ChannelSizes(const OperandSpec& x)
      : batch(x.shape[0]), channels(x.shape[1]), bytes(size_of(x.dtype)) {
    for (int64_t d = 2; d < x.rank(); ++d) spatial *= x.shape[d];
    // Where a channel's values lie apart, a block takes a cache line's worth of neighbours at least.
    const int64_t each = std::max<int64_t>(1, batch * spatial);
    by_channel = Blocks(channels, std::max<int64_t>(spatial == 1 ? 16 : 1, 16384 / each), 64);
    by_sample = Blocks(batch, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, channels * spatial)));
  }
  int64_t sample_bytes() const { return channels * spatial * bytes; }
  int64_t batch, channels, spatial = 1, bytes;
  Blocks by_channel, by_sample;
};

}  // namespace fovea
