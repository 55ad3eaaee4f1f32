// Walks strided operands in row-major order without allocating.
#pragma once

#include <array>
#include <cstdint>

#include "framework/tensor/array.h"

namespace fovea {

inline constexpr int kMaxRank = 8;

/// The positions of one shape with an element offset for each of N operands. Neighbouring dims that every
/// operand walks as one are merged, dims of size 1 dropped.
template <int N>
class StridedLoop {
 public:
  using Offsets = std::array<int64_t, N>;

  StridedLoop() = default;
  StridedLoop(const Dims& shape, const std::array<Dims, N>& strides) {
    size_ = product(shape);
    for (size_t d = 0; d < shape.size(); ++d) {
      if (shape[d] == 1) continue;
      Axis axis{shape[d], {}};
      for (int k = 0; k < N; ++k) axis.strides[k] = strides[k][d];
      if (rank_ > 0 && continues(dims_[rank_ - 1], axis)) {
        axis.size *= dims_[rank_ - 1].size;
        --rank_;
      }
      if (rank_ == kMaxRank)
        fail(ErrorKind::Unsupported, "rank " + std::to_string(shape.size()) + " is above the most, 8");
      dims_[rank_++] = axis;
    }
  }

  /// Number of positions.
  int64_t size() const { return size_; }
  int rank() const { return rank_; }
  /// Size and stride of operand k for merged dim d.
  int64_t dim(int d) const { return dims_[d].size; }
  int64_t stride(int d, int k) const { return dims_[d].strides[k]; }

  /// Offsets of the position with row-major number `at`.
  Offsets at(int64_t at) const {
    Offsets o{};
    for (int d = rank_; d-- > 0;) {
      const int64_t i = at % dims_[d].size;
      at /= dims_[d].size;
      for (int k = 0; k < N; ++k) o[k] += i * dims_[d].strides[k];
    }
    return o;
  }

  /// Calls f(offsets) for positions [begin, end) in row-major order.
  template <class F>
  void each(int64_t begin, int64_t end, F&& f) const {
    if (begin >= end) return;
    int64_t index[kMaxRank] = {};
    int64_t rest = begin;
    for (int d = rank_; d-- > 0;) {
      index[d] = rest % dims_[d].size;
      rest /= dims_[d].size;
    }
    Offsets o = at(begin);
    for (int64_t i = begin;;) {
      f(static_cast<const Offsets&>(o));
      if (++i == end) return;
      for (int d = rank_ - 1;; --d) {
        for (int k = 0; k < N; ++k) o[k] += dims_[d].strides[k];
        if (++index[d] < dims_[d].size) break;
        for (int k = 0; k < N; ++k) o[k] -= dims_[d].size * dims_[d].strides[k];
        index[d] = 0;
      }
    }
  }
  template <class F>
  void each(F&& f) const {
    each(0, size_, static_cast<F&&>(f));
  }

 private:
  struct Axis {
    int64_t size = 1;
    std::array<int64_t, N> strides;
  };
  static bool continues(const Axis& outer, const Axis& inner) {
    for (int k = 0; k < N; ++k)
      if (outer.strides[k] != inner.strides[k] * inner.size) return false;
    return true;
  }

  int rank_ = 0;
  int64_t size_ = 0;
  Axis dims_[kMaxRank];
};

/// The part of `values` at `axes` (kept: at all other axes).
inline Dims pick(const Dims& values, const std::vector<int64_t>& axes) {
  Dims out;
  for (int64_t a : axes) out.push_back(values[a]);
  return out;
}
inline std::vector<int64_t> other_axes(int64_t rank, const std::vector<int64_t>& axes) {
  std::vector<int64_t> out;
  for (int64_t a = 0; a < rank; ++a) {
    bool found = false;
    for (int64_t x : axes) found = found || x == a;
    if (!found) out.push_back(a);
  }
  return out;
}

}  // namespace fovea
