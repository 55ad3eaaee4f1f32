// Softmax over the columns of tiles: a tile is a block of rows (classes) of up to 64 columns (examples), 64
// values apart. A column's softmax is made in two visits to each tile: exp(x - max of the tile) with its sum,
// and, when all tiles of the column are known, a factor for each tile.
//
//   tile 0   e = exp(x - m0)   sum0          m = max m_i            e * exp(m0 - m) scale
//   tile 1   e = exp(x - m1)   sum1   --->   s = sum exp(m_i - m) sum_i      --->
//   ...
//
// T is float or double. Everything runs on the calling thread; a column's values depend on that column alone.
#pragma once

#include <cstdint>

namespace fovea::simd {

/// Columns of a whole tile, and the distance between a tile's rows.
inline constexpr int64_t kTileColumns = 64;

/// The first visit: e = exp(x - max), where x includes the bias. Columns of -inf alone have max -inf, sum 0.
template <class T>
struct ExpColumns {
  int64_t rows = 0, columns = 0;  ///< columns: a multiple of 16
  const T* x = nullptr;
  const T* bias = nullptr;  ///< [rows], or null
  T* e = nullptr;           ///< may be x
  bool stream = false;      ///< past the caches: e is aligned to 64 and not read again soon
  T* max = nullptr;         ///< [columns]
  T* sum = nullptr;         ///< [columns], of e
  T* gaps = nullptr;        ///< [columns], of max - x; or null
};

/// Joins `tiles` lines of 64 maxima and sums: the largest, and the sum of exp(x - largest) in double. In
/// `max` the exp(max - largest) of each tile takes the maximum's place.
template <class T>
struct JoinColumns {
  int64_t tiles = 0, columns = 0;
  T* max = nullptr;
  const T* sum = nullptr;
  T* largest = nullptr;     ///< [columns]
  double* total = nullptr;  ///< [columns]
};

/// The second visit: e = e factor scale - shift, and 0 where scale is 0.
template <class T>
struct ScaleColumns {
  int64_t rows = 0, columns = 0;
  T* e = nullptr;
  const T *factor = nullptr, *scale = nullptr, *shift = nullptr;  ///< [columns] each
};

void exp_columns(const ExpColumns<float>& c);
void exp_columns(const ExpColumns<double>& c);
void join_columns(const JoinColumns<float>& c);
void join_columns(const JoinColumns<double>& c);
void scale_columns(const ScaleColumns<float>& c);
void scale_columns(const ScaleColumns<double>& c);
/// sums[row] += the sum of the tile's row
void add_row_sums(const float* tile, int64_t rows, int64_t columns, float* sums);
void add_row_sums(const double* tile, int64_t rows, int64_t columns, double* sums);

}  // namespace fovea::simd
