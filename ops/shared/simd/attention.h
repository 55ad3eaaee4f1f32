// The inner loops of attention: products of small tiles, the running softmax over rows of scores, and its
// gradient. Everything runs on the calling thread; a result depends on the instruction set and the sizes
// alone.
//
//   scores      S = Q K^T         rows x keys, K^T packed in panels
//   softmax     P = exp(S - max)  with running maxima and sums
//   values      O += P V          rows x channels
//   transposed  dV += P^T dO      keys x channels
#pragma once

#include <cstdint>

namespace fovea::simd {

/// The keys that each row of a tile reads: [begin[r], end[r]) within [0, keys); null: all of them.
struct KeyRanges {
  const int32_t* begin = nullptr;
  const int32_t* end = nullptr;
};

/// A row-major matrix; rows begin `row` elements apart.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t row = 0;
};

/// What is added to scaled scores: element (r, j) at data[r * row + j * column], column 0 or 1; null:
/// nothing. A line: slope * (first + query * r + key * j), `data` holding the numbers of the keys.
template <class T>
struct ScoreBias {
  const T* data = nullptr;
  int64_t row = 0, column = 0;
  bool line = false;
  T slope = 0, first = 0, query = 0, key = 0;
};

/// The state of rows whose keys come block by block.
template <class T>
struct RunningRows {
  T* top;         ///< largest score so far, -inf at first
  double* total;  ///< sum of exp(score - top)
  T* correction;  ///< out: what earlier sums have to be multiplied by
};

/// What turns scores and gradients of probabilities into gradients of scores.
template <class T>
struct GradientRows {
  const T* top;               ///< p = exp((score - top) - rest)
  const T* rest;              ///< so that large scores do not swallow the logarithm of a sum
  T* row_term;                ///< D; with all_keys less the sum over keys at first, with it afterwards
  Rows<const T> factor;       ///< of the probabilities; null: 1
  Rows<T> factor_gradient{};  ///< out, where not null: p dp
  bool nan_is_zero = false, empty_is_zero = false;
  /// These are all keys of the rows: D is sum(p factor dp) / (sum(p) + others) of what is at hand, plus
  /// row_term. Then the gradients of a row sum to 0 within rounding, as they do in exact arithmetic, even
  /// where these scores were rounded in another way than those behind top and rest.
  bool all_keys = false;
  const T* others = nullptr;  ///< with all_keys: the share of a row that no key has; null: none
  /// Without all_keys: what factor dp - row_term is where p rounds to 1 and its factor is not 0. D is that
  /// one product then, summed in another order and rounded at other places: it leaves nothing but noise.
  /// Null: 0.
  const T* certain = nullptr;
  /// With all_keys: what rounding leaves of the sum of a row's gradients, which is 0, is taken off them.
  bool centered = false;
  T scale = 1;  ///< of the scores: the gradient is that of what was scaled
};

/// The loops for one type. Sizes that run along vectors (keys of scores, channels of values) are padded by
/// the caller: buffers hold whole panels or vectors, channels are a multiple of `lanes`.
template <class T>
struct AttentionKernels {
  int64_t lanes;  ///< elements of a vector
  int64_t panel;  ///< keys of a panel, a multiple of lanes
  int64_t strip;  ///< rows that are computed together

  /// Packs `keys` rows of `depth` channels as panels [panel][depth][panel keys], with zeros behind the last
  /// key. Returns false if a value is NaN or infinite.
  bool (*pack)(const T* from, int64_t row, int64_t column, int64_t keys, int64_t depth, T* to);
  /// s[r][j] = sum_d a[r][d] k[j][d] for whole vectors that overlap the ranges.
  void (*scores)(KeyRanges ranges, int64_t rows, int64_t keys, int64_t depth, Rows<const T> a,
                 const T* panels, Rows<T> s);
  /// The same for few rows, from K as it is: rows of `depth` channels.
  void (*scores_of_rows)(int64_t rows, int64_t keys, int64_t depth, Rows<const T> a, Rows<const T> k,
                         Rows<T> s);
  /// s becomes p = exp(scale s + bias - top), 0 outside of the ranges, times factor (null: 1); the running
  /// state takes p without the factor.
  void (*softmax)(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias,
                  Rows<const T> factor, Rows<T> s, RunningRows<T> state);
  /// o = correction o + p v; without correction o += p v; fresh: o = p v.
  void (*values)(KeyRanges ranges, int64_t rows, int64_t keys, Rows<const T> p, Rows<const T> v,
                 int64_t channels, bool fresh, const T* correction, Rows<T> o);
  /// o[j] += sum_r p[r][j] x[r]; fresh: o[j] is that sum.
  void (*transposed)(KeyRanges ranges, int64_t rows, int64_t keys, Rows<const T> p, Rows<const T> x,
                     int64_t channels, bool fresh, Rows<T> o);
  /// s becomes factor p with p = exp(scale s + bias - top - rest); dp becomes p (factor dp - row_term) times
  /// the state's scale. Both are 0 outside of the ranges and where p is 0.
  void (*gradient)(KeyRanges ranges, int64_t rows, int64_t keys, T scale, ScoreBias<T> bias, Rows<T> s,
                   Rows<T> dp, const GradientRows<T>& state);
  /// to[r] = sum_d x[r][d] y[r][d], summed in the order in which `scores` does it, so that equal operands
  /// give equal bits and like ones like errors.
  void (*row_dots)(int64_t rows, int64_t depth, Rows<const T> x, Rows<const T> y, T* to);
  /// sum_i x[i] y[i]
  T (*dot)(const T* x, const T* y, int64_t n);
  /// to = by x, or to += by x; `by` one number, or one a row where `row_by` is given.
  void (*scale)(int64_t rows, int64_t columns, Rows<const T> x, T by, const T* row_by, bool add, Rows<T> to);
  /// to[i] = bits[i] < threshold ? below : above
  void (*choose)(const int32_t* bits, int64_t n, int32_t threshold, T below, T above, T* to);
  /// No value is NaN or infinite; whole vectors.
  bool (*finite)(int64_t rows, int64_t columns, Rows<const T> x);
  /// lse = log(total) + top, -inf where the total is 0; rest: what rounding took from it.
  void (*log_sum)(int64_t rows, const T* top, const double* total, T* lse, T* rest);
};

/// For float and double.
template <class T>
const AttentionKernels<T>& attention_kernels();
template <>
const AttentionKernels<float>& attention_kernels<float>();
template <>
const AttentionKernels<double>& attention_kernels<double>();

}  // namespace fovea::simd
