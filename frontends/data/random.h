// A small random generator whose numbers are the same on every machine and with every standard library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fovea::data {

/// Counter-based: the i-th number depends on the seed, the stream and i alone (SplitMix64, Steele et al.
/// 2014).
class Random {
 public:
  /// Streams of one seed (epochs, for instance) are independent of each other.
  Random(uint64_t seed, uint64_t stream) : state_(mix(mix(seed) + kStep * (stream + 1))) {}

  uint64_t next() { return mix(state_ += kStep); }

  /// Uniform in [0, 1), with 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Uniform in [0, bound), 0 for a bound of 0. No bias: the few numbers that would give one are drawn again.
  uint64_t below(uint64_t bound) {
    if (bound < 2) return 0;
    const uint64_t reject = (0 - bound) % bound;  // 2^64 mod bound
    uint64_t x;
    do x = next();
    while (x < reject);
    return x % bound;
  }

  /// Puts `items` in random order (Fisher-Yates).
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15u;
  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }

  uint64_t state_;
};

}  // namespace fovea::data
