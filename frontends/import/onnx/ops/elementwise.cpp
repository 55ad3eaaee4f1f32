// Elementwise ops: arithmetic, functions, activations, comparisons, logic, bits, types.
#include <cmath>
#include <limits>
#include <numbers>

#include "frontends/import/onnx/ops/activations.h"
#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// f(x), with half types computed in f32.
template <class F>
Tensor wide(const Tensor& x, F f) {
  return cast(f(widened(x)), x.dtype());
}

Tensor acosh_of(const Tensor& x) {
  const Tensor t = x - 1.0;  // log(x + sqrt(x^2 - 1)) near 1
  return log1p(t + sqrt(t) * sqrt(t + 2.0));
}

Tensor asinh_of(const Tensor& x) {
  const Tensor size = abs(x), large = greater(size, 1e8), small = where(large, 1.0, size);
  const Tensor near = log1p(small + square(small) / (1.0 + sqrt(1.0 + square(small))));
  const Tensor y = where(large, log(where(large, size, 1.0)) + std::numbers::ln2, near);
  return where(less(x, 0), -y, where(equal(x, 0), x, y));
}

// Halves of e^(|x| / 2) are multiplied late: the result may be finite where e^|x| is not.
Tensor cosh_of(const Tensor& x) {
  const Tensor h = exp(0.5 * abs(x));
  return (0.5 * h) * h + (0.5 / h) / h;
}

Tensor sinh_of(const Tensor& x) {
  const Tensor h = exp(0.5 * abs(x)), far = (0.5 * h) * h - (0.5 / h) / h;
  const Tensor near = 0.5 * (expm1(x) - expm1(-x));
  return where(less(abs(x), 1), near, where(less(x, 0), -far, far));
}

// The second operand. Before opset 7 it could name the axis of the first from which it goes on.
Tensor second(Context& c) {
  Tensor b = c.in(1);
  if (c.opset() >= 7 || !c.has_attr("axis")) return b;
  const int64_t rank = c.in(0).rank(), behind = rank - axis_of(c, c.integer("axis"), rank) - b.rank();
  if (behind < 0) c.invalid("operand 1 reaches beyond the axes of operand 0");
  Shape shape = b.shape();
  shape.insert(shape.end(), static_cast<size_t>(behind), Dim(1));
  return reshape(b, shape);
}

// A slope for each channel could be a vector before opset 7.
Tensor slope_of(Context& c, const Tensor& x) {
  const Tensor slope = c.in(1);
  if (c.opset() >= 7 || slope.rank() != 1 || x.rank() < 2) return slope;
  Shape shape(static_cast<size_t>(x.rank()) - 1, Dim(1));
  shape[0] = slope.dim(0);
  return reshape(slope, shape);
}

// Integers divide towards zero.
Tensor quotient(const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype())) return a / b;
  const Tensor q = floor_div(a, b);
  if (a.dtype() == DType::u8) return q;
  const Tensor signs_differ = logical_xor(less(a, 0), less(b, 0));
  return where(logical_and(signs_differ, not_equal(q * b, a)), q + 1, q);
}

// |a| mod |b|; exact where |a| is the smaller.
Tensor rest_of(const Tensor& a, const Tensor& b) {
  const Tensor x = abs(a), y = abs(b);
  return is_floating(a.dtype()) ? where(less(x, y), x, mod(x, y)) : mod(x, y);
}

// The rest with the sign of a.
Tensor truncated_mod(const Tensor& a, const Tensor& b) {
  const Tensor rest = rest_of(a, b);
  if (a.dtype() == DType::u8) return rest;
  const Tensor y = where(less(a, 0), -rest, rest);
  return is_floating(a.dtype()) ? where(equal(rest, 0), a * 0.0, y) : y;
}

// The rest of floating numbers with the sign of b.
Tensor floored_mod(const Tensor& a, const Tensor& b) {
  const Tensor rest = truncated_mod(a, b);
  const Tensor other_side = logical_xor(less(rest, 0), less(b, 0));
  return where(equal(rest, 0), where(less(b, 0), -0.0, full_like(b, 0)), where(other_side, rest + b, rest));
}

// a^b in the type of a; the exponent may have another.
Tensor power(Context& c) {
  const Tensor a = c.in(0), b = second(c);
  if (const auto exponent = c.constant(1); exponent && exponent->size() == 1 && is_floating(a.dtype())) {
    const double n = exponent->reshape({}).item();
    if ((n == 2 || n == 3) && exponent->rank() <= a.rank()) return pow(a, n);
  }
  if (a.dtype() == b.dtype()) return pow(a, b);
  if (is_floating(a.dtype())) return pow(a, cast(b, a.dtype()));
  const DType common = is_floating(b.dtype()) ? DType::f64 : DType::i64;
  return cast(pow(cast(a, common), cast(b, common)), a.dtype());
}

Tensor shifted(Context& c) {
  const Tensor x = c.in(0), by = c.in(1);
  const std::string direction = c.text("direction");
  if (direction != "LEFT" && direction != "RIGHT") c.invalid("direction is \"" + direction + "\"");
  // Shifting right is dividing, rounded down; what is shifted by more than there are bits leaves its sign.
  const bool is_signed = x.dtype() != DType::u8, left = direction == "LEFT";
  const int64_t most = 8 * size_of(x.dtype()) - (is_signed && !left ? 2 : 1);
  const Tensor inside = is_signed ? logical_and(less(-1, by), less_equal(by, most)) : less_equal(by, most);
  const Tensor factor = pow(full({}, 2, x.dtype()), where(inside, by, 0));
  if (left) return where(inside, x * factor, 0);
  const Tensor beyond = is_signed ? where(less(x, 0), full_like(x, -1), 0) : full_like(x, 0);
  return where(inside, floor_div(x, factor), beyond);
}

Tensor clipped(Context& c) {
  const Tensor x = c.in(0);
  if (c.opset() < 11) return clip(x, c.number("min", -kInf), c.number("max", kInf));
  if (is_floating(x.dtype())) {  // known bounds need no tensors
    const auto low = c.constant(1), high = c.constant(2);
    if ((low || !c.has(1)) && (high || !c.has(2))) {
      const double lo = low ? c.const_number(1) : -kInf, hi = high ? c.const_number(2) : kInf;
      if (lo <= hi) return lo == -kInf && hi == kInf ? x : clip(x, lo, hi);
    }
  }
  Tensor y = x;
  if (c.has(1)) y = maximum(y, reshape(c.in(1), {}));
  if (c.has(2)) y = minimum(y, reshape(c.in(2), {}));
  return y;
}

template <class F>
Tensor folded(Context& c, F f) {
  Tensor y = c.in(0);
  for (size_t i = 1; i < c.inputs(); ++i) y = f(y, c.in(i));
  return y;
}

Tensor is_infinite(Context& c) {
  const Tensor x = c.in(0);
  const bool negative = c.integer("detect_negative", 1) != 0, positive = c.integer("detect_positive", 1) != 0;
  if (negative && positive) return is_inf(x);
  if (positive) return equal(x, kInf);
  return negative ? equal(x, -kInf) : zeros(x.shape(), DType::boolean);
}

Tensor gelu_of(Context& c, const std::string& approximate) {
  if (approximate != "none" && approximate != "tanh") c.invalid("approximate is \"" + approximate + "\"");
  return gelu(c.in(0), approximate);
}

Tensor hard_sigmoid(const Tensor& x, double alpha, double beta) { return clip(x * alpha + beta, 0, 1); }

Tensor shrink(Context& c) {
  const Tensor x = c.in(0);
  const double lambda = c.number("lambd", 0.5), bias = c.number("bias", 0.0);
  if (!is_floating(x.dtype())) c.unsupported("it takes floating types only");
  return where(less(x, -lambda), x + bias, where(greater(x, lambda), x - bias, 0.0));
}

}  // namespace

// Arithmetic.
FOVEA_ONNX(Add) { return {c.in(0) + second(c)}; }
FOVEA_ONNX(Sub) { return {c.in(0) - second(c)}; }
FOVEA_ONNX(Mul) { return {product_of(c.in(0), second(c))}; }
FOVEA_ONNX(Div) { return {quotient(c.in(0), second(c))}; }
FOVEA_ONNX(Pow) { return {power(c)}; }
FOVEA_ONNX(Mod) {
  const Tensor a = c.in(0), b = c.in(1);
  if (c.integer("fmod", 0) != 0) return {truncated_mod(a, b)};
  return {is_floating(a.dtype()) ? floored_mod(a, b) : mod(a, b)};
}
FOVEA_ONNX(Neg) { return {-c.in(0)}; }
FOVEA_ONNX(Abs) { return {abs(c.in(0))}; }
FOVEA_ONNX(Sign) { return {sign(c.in(0))}; }
FOVEA_ONNX(Reciprocal) { return {reciprocal(c.in(0))}; }
FOVEA_ONNX(Sqrt) { return {sqrt(c.in(0))}; }
FOVEA_ONNX(Max) {
  return {folded(c, [](const Tensor& a, const Tensor& b) { return maximum(a, b); })};
}
FOVEA_ONNX(Min) {
  return {folded(c, [](const Tensor& a, const Tensor& b) { return minimum(a, b); })};
}
FOVEA_ONNX(Sum) {
  return {folded(c, [](const Tensor& a, const Tensor& b) { return a + b; })};
}
FOVEA_ONNX(Mean) {
  const Tensor sum = folded(c, [](const Tensor& a, const Tensor& b) { return a + b; });
  return {sum / static_cast<double>(c.inputs())};
}
FOVEA_ONNX(Clip) { return {clipped(c)}; }

// Rounding.
FOVEA_ONNX(Ceil) { return {ceil(c.in(0))}; }
FOVEA_ONNX(Floor) { return {floor(c.in(0))}; }
FOVEA_ONNX(Round) { return {round(c.in(0))}; }

// Functions.
FOVEA_ONNX(Exp) { return {exp(c.in(0))}; }
FOVEA_ONNX(Log) { return {log(c.in(0))}; }
FOVEA_ONNX(Erf) { return {erf(c.in(0))}; }
FOVEA_ONNX(Sin) { return {sin(c.in(0))}; }
FOVEA_ONNX(Cos) { return {cos(c.in(0))}; }
FOVEA_ONNX(Tan) { return {tan(c.in(0))}; }
FOVEA_ONNX(Atan) { return {atan(c.in(0))}; }
FOVEA_ONNX(Asin) {
  return {wide(c.in(0), [](const Tensor& x) { return atan(x / sqrt((1.0 - x) * (1.0 + x))); })};
}
FOVEA_ONNX(Acos) {
  return {wide(c.in(0), [](const Tensor& x) { return 2.0 * atan(sqrt((1.0 - x) / (1.0 + x))); })};
}
FOVEA_ONNX(Sinh) { return {wide(c.in(0), sinh_of)}; }
FOVEA_ONNX(Cosh) { return {wide(c.in(0), cosh_of)}; }
FOVEA_ONNX(Tanh) { return {tanh(c.in(0))}; }
FOVEA_ONNX(Asinh) { return {wide(c.in(0), asinh_of)}; }
FOVEA_ONNX(Acosh) { return {wide(c.in(0), acosh_of)}; }
FOVEA_ONNX(Atanh) {
  return {wide(c.in(0), [](const Tensor& x) { return 0.5 * (log1p(x) - log1p(-x)); })};
}

// Activations.
FOVEA_ONNX(Relu) { return {relu(c.in(0))}; }
FOVEA_ONNX(LeakyRelu) { return {leaky_relu(c.in(0), c.number("alpha", 0.01))}; }
FOVEA_ONNX(PRelu) {
  const Tensor x = c.in(0);
  return {where(less(x, 0), slope_of(c, x) * x, x)};
}
FOVEA_ONNX(ThresholdedRelu) {
  const Tensor x = c.in(0);
  return {where(greater(x, c.number("alpha", 1.0)), x, 0.0)};
}
FOVEA_ONNX(Elu) { return {elu(c.in(0), c.number("alpha", 1.0))}; }
FOVEA_ONNX(Celu) {
  const double alpha = c.number("alpha", 1.0);
  if (alpha == 0) c.invalid("alpha is 0");
  return {alpha * elu(c.in(0) / alpha)};
}
FOVEA_ONNX(Selu) {
  const double alpha = c.number("alpha", 1.6732632423543772848),
               gamma = c.number("gamma", 1.0507009873554805);
  return {gamma * elu(c.in(0), alpha)};
}
FOVEA_ONNX(Gelu) { return {gelu_of(c, c.text("approximate", "none"))}; }
FOVEA_ONNX(FastGelu) {
  if (c.has(1)) c.unsupported("it has a bias");
  return {gelu_of(c, "tanh")};
}
FOVEA_ONNX(QuickGelu) {
  const Tensor x = c.in(0);
  return {x * sigmoid(c.number("alpha", 1.702) * x)};
}
FOVEA_ONNX(Swish) {
  const Tensor x = c.in(0);
  const double alpha = c.number("alpha", 1.0);
  return {alpha == 1 ? silu(x) : x * sigmoid(alpha * x)};
}
FOVEA_ONNX(Mish) { return {mish(c.in(0))}; }
FOVEA_ONNX(Sigmoid) { return {sigmoid(c.in(0))}; }
FOVEA_ONNX(HardSigmoid) { return {hard_sigmoid(c.in(0), c.number("alpha", 0.2), c.number("beta", 0.5))}; }
FOVEA_ONNX(HardSwish) {
  const Tensor x = c.in(0);
  return {x * hard_sigmoid(x, 1.0 / 6, 0.5)};
}
FOVEA_ONNX(Softplus) { return {softplus(c.in(0))}; }
FOVEA_ONNX(Softsign) {
  const Tensor x = c.in(0);
  return {x / (1.0 + abs(x))};
}
FOVEA_ONNX(Shrink) { return {shrink(c)}; }

// Comparisons and logic.
FOVEA_ONNX(Equal) { return {equal(c.in(0), second(c))}; }
FOVEA_ONNX(Less) { return {less(c.in(0), second(c))}; }
FOVEA_ONNX(LessOrEqual) { return {less_equal(c.in(0), second(c))}; }
FOVEA_ONNX(Greater) { return {greater(c.in(0), second(c))}; }
FOVEA_ONNX(GreaterOrEqual) { return {greater_equal(c.in(0), second(c))}; }
FOVEA_ONNX(And) { return {logical_and(c.in(0), second(c))}; }
FOVEA_ONNX(Or) { return {logical_or(c.in(0), second(c))}; }
FOVEA_ONNX(Xor) { return {logical_xor(c.in(0), second(c))}; }
FOVEA_ONNX(Not) { return {logical_not(c.in(0))}; }
FOVEA_ONNX(IsNaN) { return {is_nan(c.in(0))}; }
FOVEA_ONNX(IsInf) { return {is_infinite(c)}; }
FOVEA_ONNX(Where) { return {where(c.in(0), c.in(1), c.in(2))}; }

// Bits.
FOVEA_ONNX(BitShift) { return {shifted(c)}; }
FOVEA_ONNX(BitwiseAnd) { return {bitwise_and(c.in(0), c.in(1))}; }
FOVEA_ONNX(BitwiseOr) { return {bitwise_or(c.in(0), c.in(1))}; }
FOVEA_ONNX(BitwiseXor) { return {bitwise_xor(c.in(0), c.in(1))}; }
FOVEA_ONNX(BitwiseNot) { return {bitwise_not(c.in(0))}; }

// Types.
FOVEA_ONNX(Cast) { return {cast(c.in(0), c.dtype("to"))}; }
FOVEA_ONNX(CastLike) { return {cast(c.in(0), c.in(1).dtype())}; }

}  // namespace fovea::onnx
