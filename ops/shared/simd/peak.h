// What this machine can do at most: the yardstick of profiles and benchmarks.
#pragma once

#include "framework/runtime/thread_pool.h"

namespace fovea::simd {

/// Multiply-adds of f32 in registers, with the best instruction set of this machine on all threads of the
/// pool: billions of floating-point operations a second (two for each multiply-add). Takes about 50 ms; the
/// best of several runs.
double measure_peak_gflops(ThreadPool& pool);

/// Reading a buffer far above the caches: billions of bytes a second, the best of several runs. Takes 256 MiB
/// of memory while it runs.
double measure_read_gbs(ThreadPool& pool);

}  // namespace fovea::simd
