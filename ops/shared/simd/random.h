// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). The word at a logical index is a pure function of key, step, ordinal and index, so any
// range can be made anywhere, in any pieces, with equal bits.
//
//   step key  = words 0, 1 of philox(counter = (step low, step high, 0x65766F46, 0), key)
//   word(i)   = word i % 4 of philox(counter = (i / 4 low, i / 4 high, ordinal low, ordinal high), step key)
//   uniform   = ((bits ^ 0x80000000) >> 8) * 2^-24, in [0, 1), where bits is the word read as int32
//   normal    = Box-Muller on the uniforms u, v of the pair (i & ~1, i | 1):
//               sqrt(-2 log(1 - u)) * (i even ? cos : sin)(2 pi v)
#pragma once

#include <cstddef>
#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// Names one stream of random words.
struct RandomStream {
  uint64_t key = 0;      ///< the user's seed; low half is Philox key word 0
  uint64_t step = 0;     ///< counts up with every run of the program
  uint64_t ordinal = 0;  ///< the stable number of the node that draws
};

/// The bare function, for tests and scalar use.
void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/// out[i - begin] = word(i) for i in [begin, end).
void random_bits(const RandomStream& stream, uint64_t begin, uint64_t end, int32_t* out);
void random_uniform(const RandomStream& stream, uint64_t begin, uint64_t end, float* out);
/// Standard normal; |value| is at most 5.77.
void random_normal(const RandomStream& stream, uint64_t begin, uint64_t end, float* out);

/// y[i - begin] = uniform(i) >= p ? x[i - begin] * scale : 0, with the mask made on the way; y may be x. The
/// same call on the gradient is the backward pass. f32 f64 f16 bf16; false if the dtype is not supported.
bool dropout(DType dtype, const RandomStream& stream, uint64_t begin, uint64_t end, const void* x, void* y,
             float p, double scale);

}  // namespace fovea::simd
