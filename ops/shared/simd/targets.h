// Which instruction sets our Highway files are compiled for. Include before anything of Highway.
#pragma once

// x86: SSE4 is the floor (oneDNN asks for as much), AVX2 and AVX-512 are chosen at run time. Fewer sets mean
// less code and shorter builds.
#if defined(__x86_64__)
#define HWY_BASELINE_TARGETS (1LL << 11)                 // HWY_SSE4
#define HWY_DISABLED_TARGETS ((1LL << 12) | (1LL << 7))  // HWY_SSSE3, HWY_AVX3_DL
#elif defined(__aarch64__)
#define HWY_DISABLED_TARGETS \
  ((1LL << 24) | (1LL << 25) | (1LL << 26) | (1LL << 27))  // SVE: vectors without a size
#endif
