// Element-by-element loops over contiguous memory. Every function runs on the calling thread over n elements,
// and the result for one element does not depend on where the range was cut. Outputs may alias an input
// exactly. Half types compute in float and round once. Pointers need no alignment beyond the element's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// y[i] = f(x[i])
using Unary = void (*)(const void* x, void* y, size_t n);

/// In `flags` of a Binary or Select: that operand is one element, used for all i.
enum ScalarOperand : unsigned { kScalarA = 1, kScalarB = 2, kScalarCond = 4 };
/// y[i] = f(a[i], b[i])
using Binary = void (*)(const void* a, const void* b, void* y, size_t n, unsigned flags);
/// y[i] = cond[i] ? a[i] : b[i]; cond is one byte per element
using Select = void (*)(const void* cond, const void* a, const void* b, void* y, size_t n, unsigned flags);

/// All finders return nullptr where the op or the dtype is not supported here.
///
/// Floating dtypes: neg exp log sqrt rsqrt sin cos tan tanh erf floor ceil round (half to even) abs sign (NaN
/// stays NaN) reciprocal sigmoid relu gelu gelu_tanh silu softplus log1p expm1 square. Integers i32, i64: neg
/// abs sign square (wrapping). is_nan, is_inf (floating) and logical_not (every floating dtype, i32, i64, u8,
/// bool) write bytes 0 or 1.
Unary find_unary(std::string_view op, DType dtype);

/// Floating dtypes: add sub mul div maximum minimum (NaN wins) pow mod (sign of the divisor, as Python), and
/// the derivative products gelu_backward(x, g), gelu_tanh_backward(x, g), silu_backward(x, g),
/// relu_backward(x, g), tanh_backward(y, g), sigmoid_backward(y, g). i32, i64: add sub mul (wrapping) maximum
/// minimum mod (0 where the divisor is 0). u8, bool: logical_and logical_or logical_xor, with bytes 0 or 1
/// out.
Binary find_binary(std::string_view op, DType dtype);

/// less less_equal equal not_equal greater greater_equal; the output is one byte, 0 or 1, per element.
Binary find_compare(std::string_view op, DType dtype);

Select find_select(DType dtype);

/// Every pair of dtypes. Floating to integer truncates, saturates, and maps NaN to 0; integer to narrower
/// integer keeps the low bits; anything to bool is "not zero" (NaN is true).
Unary find_cast(DType from, DType to);

}  // namespace fovea::simd
