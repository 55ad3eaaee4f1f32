// The loops of the tile machine: one instruction over rows of registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "framework/tensor/dtype.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {

/// How a value lies in memory. `mask`: all bits of a lane of the computing type set or clear.
enum class Rep : uint8_t { real, mask, i32, i64 };

/// Instructions of the machine: those of programs, and what they are joined into.
enum class Op : uint8_t {
  last_code = static_cast<uint8_t>(Code::select),
  multiply_add,           ///< a b + c
  multiply_subtract,      ///< a b - c
  subtract_product,       ///< c - a b
  widen,                  ///< i32 to i64
  normal_cdf,             ///< 0.5 (1 + erf(a / sqrt(2)))
  bell,                   ///< exp(-a^2 / 2)
  zero_where_less,        ///< a < b ? 0 : c, of reals; a and b may be i32
  zero_where_less_equal,  ///< a <= b ? 0 : c
};
constexpr Op op_of(Code code) { return static_cast<Op>(code); }

/// One instruction over rows of n elements; n is a multiple of kUnit. Rows lie `_row` bytes apart. An operand
/// without its bit in `steps` is one group of kUnit equal elements, read again and again along a row.
struct Loop {
  char* y = nullptr;
  const char *a = nullptr, *b = nullptr, *c = nullptr;
  int64_t y_row = 0, a_row = 0, b_row = 0, c_row = 0;
  unsigned steps = 0;  ///< 1: a, 2: b, 4: c
  int64_t rows = 0, n = 0;
};
using LoopFn = void (*)(const Loop&);

/// Elements of a group: 64 bytes of the computing type.
constexpr int64_t unit_of(DType compute) { return compute == DType::f64 ? 8 : 16; }

/// `rep`: of operand a (of b for select). nullptr where there is none.
LoopFn find_basic_loop(Op op, Rep rep, DType compute);                ///< arithmetic, comparisons, logic, i32
LoopFn find_math_loop(Op op, DType compute);                          ///< exp, tanh, pow, ...
LoopFn find_integer_loop(Op op, Rep rep, Rep result, DType compute);  ///< i64 as operand or result

/// into[c] += the sum over the rows of x[r * stride + c], numbers of the computing type.
void add_column_sums(const void* x, size_t stride, size_t rows, size_t columns, double* into, DType compute);

/// n lanes of masks as bytes 0 or 1, and back (any byte but 0 is true). n need not be a multiple of anything;
/// whole groups are written to masks.
void masks_to_bytes(const void* masks, uint8_t* bytes, size_t n, DType compute);
void bytes_to_masks(const uint8_t* bytes, void* masks, size_t n, DType compute);

}  // namespace fovea::tiles
