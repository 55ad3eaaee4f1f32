// Reductions over rows or columns of a matrix in memory. Every function runs on the calling thread; callers
// cut work between rows (rows) or between columns (columns), which never changes a result: the order of
// additions within one result depends on n alone. Cutting along n makes partial results; reduce those by a
// second call with a fixed number of parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// y[r] = reduction of x[r * n .. r * n + n)
using ReduceRows = void (*)(const void* x, void* y, size_t rows, size_t n);
/// y[c] = reduction of x[r * stride + c] over r in [0, n), for c in [0, cols)
using ReduceColumns = void (*)(const void* x, size_t stride, void* y, size_t n, size_t cols);
/// The same with the index of the extreme as result.
using ArgRows = void (*)(const void* x, int64_t* y, size_t rows, size_t n);
using ArgColumns = void (*)(const void* x, size_t stride, int64_t* y, size_t n, size_t cols);

/// sum, sum_squares, prod, max, min (NaN wins) for f32 f64 f16 bf16; sum, prod (wrapping), max, min for i32
/// i64; any, all for u8 and bool. The result has the dtype of x. Sums of f32 and half types gather in float
/// for at most 32 values per lane and in double beyond, so their error does not grow with n. For n = 0: sum
/// 0, prod 1, max and min the lowest and highest value, any 0, all 1. nullptr if unsupported.
ReduceRows find_reduce_rows(std::string_view op, DType dtype);
ReduceColumns find_reduce_columns(std::string_view op, DType dtype);

/// argmax, argmin for f32 f64 f16 bf16 i32 i64: the first index of the extreme, or of the first NaN. n >= 1.
ArgRows find_arg_rows(std::string_view op, DType dtype);
ArgColumns find_arg_columns(std::string_view op, DType dtype);

}  // namespace fovea::simd
