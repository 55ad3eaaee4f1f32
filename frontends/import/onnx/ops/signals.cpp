// Fourier transforms as products with tables of cosines and sines: exact enough, differentiable, and fast at
// the lengths that models have.
#include <cmath>
#include <numbers>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kLongest = 4096;

struct Tables {
  Tensor cosine, sine;  // [n, m]: at sample t and frequency k
};

Tables tables_of(int64_t n, int64_t m, double scale, DType dtype) {
  Array cosine(DType::f64, {n, m}), sine(DType::f64, {n, m});
  for (int64_t t = 0; t < n; ++t)
    for (int64_t k = 0; k < m; ++k) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(t * k % n) / static_cast<double>(n);
      cosine.set_flat(t * m + k, scale * std::cos(angle));
      sine.set_flat(t * m + k, scale * std::sin(angle));
    }
  return {cosine.cast(dtype), sine.cast(dtype)};
}

// [..., m, 2] from the parts [..., n] of a signal, or of a spectrum that goes back to one. `imaginary` may be
// undefined.
Tensor transformed(const Tensor& real, const Tensor& imaginary, const Tables& w, bool inverse) {
  Tensor re = matmul(real, w.cosine), im = matmul(real, w.sine);
  if (!inverse) im = neg(im);
  if (imaginary.defined()) {
    const Tensor by_sine = matmul(imaginary, w.sine), by_cosine = matmul(imaginary, w.cosine);
    re = inverse ? re - by_sine : re + by_sine;
    im = im + by_cosine;
  }
  return stack({re, im}, -1);
}

int64_t length_of(const Context& c, int64_t n) {
  if (n < 1 || n > kLongest)
    c.unsupported("a transform of length " + std::to_string(n) + "; lengths from 1 to " +
                  std::to_string(kLongest) + " are computed");
  return n;
}

// The last axis of a signal [..., 1] or [..., 2], taken apart.
std::pair<Tensor, Tensor> parts_of(const Context& c, const Tensor& x) {
  const Dim parts = x.dim(-1);
  if (parts != Dim(1) && parts != Dim(2))
    c.invalid("the last axis has size " + parts.str() + ", not 1 (real) or 2 (complex)");
  return {select_index(x, -1, 0), parts == Dim(2) ? select_index(x, -1, 1) : Tensor()};
}

Tensor discrete(Context& c) {
  const Tensor x = widened(c.in(0));
  if (x.rank() < 2) c.invalid("its operand has rank " + std::to_string(x.rank()) + ", at least 2 is needed");
  const bool inverse = c.integer("inverse", 0) != 0, onesided = c.integer("onesided", 0) != 0;
  const int64_t given = c.opset() < 20 ? c.integer("axis", 1) : c.has(2) ? c.const_int(2) : -2;
  const int64_t axis = axis_of(c, given, x.rank());
  if (axis == x.rank() - 1) c.invalid("its axis is the one of real and imaginary parts");
  if (inverse && onesided) c.unsupported("the inverse of one side of a spectrum");
  auto [real, imaginary] = parts_of(c, move_axis(x, axis, -2));
  const Dim size = x.dim(axis);
  if (!c.has(1) && !size.is_const()) c.unsupported("a transform along an axis of open size " + size.str());
  const int64_t n = length_of(c, c.has(1) ? c.const_int(1) : size.value());
  if (size != Dim(n)) {  // the signal is cut, or zeros follow
    Shape high(static_cast<size_t>(real.rank()), Dim(0));
    high.back() = Dim(n) - size;
    const Shape low(high.size(), Dim(0));
    real = pad(real, low, high);
    if (imaginary.defined()) imaginary = pad(imaginary, low, high);
  }
  const Tables w =
      tables_of(n, onesided ? n / 2 + 1 : n, inverse ? 1.0 / static_cast<double>(n) : 1, real.dtype());
  return cast(move_axis(transformed(real, imaginary, w, inverse), -2, axis), c.in(0).dtype());
}

// Spectra [B, frames, m, 2] of pieces of a signal [B, L] or [B, L, 1 or 2].
Tensor short_time(Context& c) {
  Tensor x = widened(c.in(0));
  if (x.rank() == 2) x = unsqueeze(x, -1);
  if (x.rank() != 3) c.invalid("the signal has rank " + std::to_string(x.rank()) + ", not 3");
  const int64_t step = at_least(c, "frame_step", c.const_int(1), 1);
  if (!c.has(3) && !c.has(2)) c.invalid("it has neither a window nor a frame length");
  const Dim length = c.has(3) ? Dim(c.const_int(3)) : c.in(2).dim(0);
  if (!length.is_const()) c.unsupported("frames of the open length " + length.str());
  const int64_t n = length_of(c, length.value());
  const Dim size = x.dim(1);
  if (size.is_const() && size.value() < n)
    c.invalid("a frame of " + std::to_string(n) + " samples in a signal of " + size.str());
  const Dim frames = floor_div(size - n, step) + 1;
  const Tensor at = iota({frames, 1}, 0) * step + iota({1, n}, 1);
  const Tensor window = c.has(2) ? cast(c.in(2), x.dtype()) : Tensor();
  auto [real, imaginary] = parts_of(c, x);
  for (Tensor* part : {&real, &imaginary}) {
    if (!part->defined()) continue;
    *part = gather(*part, at, 1);
    if (window.defined()) *part = *part * window;
  }
  const bool onesided = c.integer("onesided", 1) != 0;
  const Tables w = tables_of(n, onesided ? n / 2 + 1 : n, 1, x.dtype());
  return cast(transformed(real, imaginary, w, false), c.in(0).dtype());
}

}  // namespace

FOVEA_ONNX(DFT) { return {discrete(c)}; }
FOVEA_ONNX(STFT) { return {short_time(c)}; }

}  // namespace fovea::onnx
