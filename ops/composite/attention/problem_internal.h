// One attention with concrete operands: sizes, layouts, and rows in and out of the computing type.
#pragma once

#include <cstdint>
#include <vector>

#include "framework/backend/kernel.h"
#include "ops/composite/attention/attention.h"

namespace fovea::attend {

inline constexpr int kMaxRank = 7;

/// A [batch..., rows, columns] operand; strides in elements, 0 where it is broadcast.
struct View {
  DType dtype = DType::f32;
  int64_t batch[kMaxRank] = {};
  int64_t row = 0, column = 0;
  int64_t rows = 0, columns = 0;  ///< its own sizes (1 where broadcast)
  int64_t nbytes = 0;             ///< of one element

  const void* at(const void* base, int64_t offset) const {
    return static_cast<const char*>(base) + offset * nbytes;
  }
  void* at(void* base, int64_t offset) const { return static_cast<char*>(base) + offset * nbytes; }
};

/// Where in the batch a piece of work lies, then first row and key: an index of the space.
struct Position {
  int64_t index[kMaxRank] = {};
};

/// Sizes and operands of attention and attention_backward.
struct Problem {
  Problem(const KernelRequest& request, const AttentionSpec& spec, size_t first_leaf, const Dims& space);

  int rank = 2, batch_rank = 0;
  Dims space;           ///< [batch..., Lq, Lk]
  int64_t batches = 1;  ///< product of the batch axes
  int64_t queries = 0, keys = 0, d = 0, e = 0;
  DType dtype = DType::f32;
  View q, k, v;
  std::vector<View> leaves;
  size_t first_leaf = 3;

  /// The position with number `batch` in row-major order; row and key are 0.
  Position position(int64_t batch) const;
  /// Elements from the start of an operand to its matrix at `p`.
  int64_t offset(const View& view, const Position& p) const;
};

/// [batch..., rows, columns] of an operand over `space`; a broadcast axis gets stride 0.
View view_of(const OperandSpec& operand, const Dims& space);
/// An output whose axes lie in `order`: the view of its axes as they are.
View ordered_view(const OperandSpec& operand, const std::vector<int64_t>& order, const Dims& space);
/// The broadcast size of the batch axes of all operands, then queries and keys.
Dims space_of(const KernelRequest& request, const AttentionSpec& spec, size_t first_leaf);

/// to[r][c] = matrix [first, first + count) of the view at `base`, converted; columns behind the last up to
/// `padded` become 0.
template <class T>
void load_rows(const View& view, const void* base, int64_t first, int64_t count, int64_t padded, T* to,
               int64_t to_row);
/// The way back; adds to what is there where `add` (T operands only).
template <class T>
void store_rows(const View& view, void* base, int64_t first, int64_t count, const T* from, int64_t from_row,
                bool add = false);
/// The rows can be read where they are: type T, columns side by side.
template <class T>
bool readable(const View& view);
/// So few rows that both passes read K as it is: packing it would cost more than the products.
inline constexpr int64_t kFewRows = 4;
template <class T>
bool few_rows(const Problem& p) {
  return p.queries <= kFewRows && readable<T>(p.k);
}

extern template void load_rows(const View&, const void*, int64_t, int64_t, int64_t, float*, int64_t);
extern template void load_rows(const View&, const void*, int64_t, int64_t, int64_t, double*, int64_t);
extern template void store_rows(const View&, void*, int64_t, int64_t, const float*, int64_t, bool);
extern template void store_rows(const View&, void*, int64_t, int64_t, const double*, int64_t, bool);

}  // namespace fovea::attend
