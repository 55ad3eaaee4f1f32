// Rows of a table by index, and sums into rows. Both run on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// out[i] = table[index[i]] for i in [0, n), rows of row_bytes. index is i32 or i64. Returns -1, or the first
/// i whose index is not in [0, table_rows); rows from there on are not written.
int64_t gather_rows(const void* table, size_t table_rows, size_t row_bytes, const void* index,
                    DType index_dtype, size_t n, void* out);

/// table[index[i]][c] += rows[i][c] for i = 0 .. n - 1 in order and c in [first, last); both have `cols`
/// columns of `dtype` (f32 or f64). Callers cut between columns; the order of additions stays the same.
/// Returns -1, or the first i with a bad index, before anything is written; -2 if the dtype is not supported.
int64_t scatter_add_rows(DType dtype, const void* rows, const void* index, DType index_dtype, size_t n,
                         void* table, size_t table_rows, size_t cols, size_t first, size_t last);

}  // namespace fovea::simd
