#include "framework/backend/cpu/onednn/pool.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <type_traits>

#include "framework/backend/cpu/onednn/scratch.h"
#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"

namespace fovea::onednn {
namespace {

constexpr int64_t kBlockReads = 65536;

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
Sum<T> value(T x) {
  return static_cast<Sum<T>>(x);
}

std::string str(int64_t v) { return std::to_string(v); }

void check_positive(const char* name, int64_t v) {
  if (v < 1) invalid("pooling: " + std::string(name) + " is " + str(v) + "; it must be at least 1");
}

// Calls f with a value of the floating type t.
template <class F>
void dispatch_floating(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::f16:
      return f(f16_t{});
    case DType::bf16:
      return f(bf16_t{});
    default:
      fail(ErrorKind::Unsupported, "pooling: dtype " + std::string(to_string(t)) + " is not floating point");
  }
}

}  // namespace

// The part of one window that lies inside the input: taps begin + i * dilation, i < count, in each dim.
struct PoolPlan::Window {
  int64_t begin[3], count[3];
  int64_t output;

  bool empty() const { return count[0] == 0 || count[1] == 0 || count[2] == 0; }
};

int64_t PoolDesc::out(int i) const {
  const int64_t padded = checked_add(checked_add(in[i], pad_before[i], "padding"), pad_after[i], "padding");
  const int64_t reach = checked_add(checked_mul(dilation[i], kernel[i] - 1, "the window"), 1, "the window");
  if (reach > padded)
    invalid("pooling: the window spans " + str(reach) + " elements in spatial dim " + str(i) +
            ", more than the padded input's " + str(padded));
  return (padded - reach) / stride[i] + 1;
}

PoolPlan::PoolPlan(const PoolDesc& desc) : d_(desc) {
  if (d_.spatial < 1 || d_.spatial > 3)
    invalid("pooling: " + str(d_.spatial) + " spatial dims; 1 to 3 are supported");
  if (d_.planes < 0) invalid("pooling: planes is " + str(d_.planes) + "; a size cannot be negative");
  dispatch_floating(d_.dtype, [](auto) {});
  for (int i = 0; i < d_.spatial; ++i) {
    check_positive("a spatial size", d_.in[i]);
    check_positive("a window size", d_.kernel[i]);
    check_positive("a stride", d_.stride[i]);
    check_positive("a dilation", d_.dilation[i]);
    if (d_.pad_before[i] < 0 || d_.pad_after[i] < 0)
      invalid("pooling: padding " + str(d_.pad_before[i]) + ", " + str(d_.pad_after[i]) + " in spatial dim " +
              str(i) + "; padding cannot be negative");
    out_[i] = d_.out(i);
    in_size_ = checked_mul(in_size_, d_.in[i], "the input");
    out_size_ = checked_mul(out_size_, out_[i], "the output");
    kernel_size_ = checked_mul(kernel_size_, d_.kernel[i], "the window");
  }
  for (int i = d_.spatial; i < 3; ++i) {  // the dims that are not there
    d_.in[i] = d_.kernel[i] = d_.stride[i] = d_.dilation[i] = 1;
    d_.pad_before[i] = d_.pad_after[i] = 0;
  }
  checked_mul(checked_mul(in_size_, d_.planes, "the input"), 8, "the input");
  checked_mul(checked_mul(out_size_, d_.planes, "the output"), 8, "the output");
}

template <class F>
void PoolPlan::for_each_window(F f) const {
  Window w{};
  const auto place = [&](int i, int64_t out) {
    const int64_t first = out * d_.stride[i] - d_.pad_before[i], step = d_.dilation[i];
    const int64_t skipped = first < 0 ? (-first + step - 1) / step : 0;
    w.begin[i] = first + skipped * step;
    const int64_t inside = w.begin[i] < d_.in[i] ? (d_.in[i] - w.begin[i] + step - 1) / step : 0;
    w.count[i] = std::clamp<int64_t>(d_.kernel[i] - skipped, 0, inside);
  };
  for (int64_t a = 0; a < out_[0]; ++a) {
    place(0, a);
    for (int64_t b = 0; b < out_[1]; ++b) {
      place(1, b);
      for (int64_t c = 0; c < out_[2]; ++c) {
        place(2, c);
        f(w);
        ++w.output;
      }
    }
  }
}

namespace {

// Calls f(offset in the plane) for each tap of a window, in row-major order.
template <class W, class F>
inline void for_each_tap(const PoolDesc& d, const W& w, F f) {
  for (int64_t i = 0; i < w.count[0]; ++i)
    for (int64_t j = 0; j < w.count[1]; ++j) {
      const int64_t row = (w.begin[0] + i * d.dilation[0]) * d.in[1] + w.begin[1] + j * d.dilation[1];
      for (int64_t k = 0; k < w.count[2]; ++k) f(row * d.in[2] + w.begin[2] + k * d.dilation[2]);
    }
}

// Integers in the order of the numbers: -0 equals 0, and every NaN is the largest. Random data would
// mispredict every other comparison of floats that had to look for NaN; integers are compared without
// branches.
inline int32_t order(float v) {
  const int32_t bits = std::bit_cast<int32_t>(v + 0.0f);
  const int32_t key = bits ^ ((bits >> 31) & std::numeric_limits<int32_t>::max());
  return v == v ? key : std::numeric_limits<int32_t>::max();
}
inline int64_t order(double v) {
  const int64_t bits = std::bit_cast<int64_t>(v + 0.0);
  const int64_t key = bits ^ ((bits >> 63) & std::numeric_limits<int64_t>::max());
  return v == v ? key : std::numeric_limits<int64_t>::max();
}

}  // namespace

template <class T>
int64_t PoolPlan::winner(const T* x, const Window& w) const {
  int64_t best = -1;
  auto most = std::numeric_limits<decltype(order(value(T{})))>::min();
  for_each_tap(d_, w, [&](int64_t i) {
    const auto rank = order(value(x[i]));
    const bool wins = rank > most;
    most = wins ? rank : most;
    best = wins ? i : best;
  });
  return best;
}

template <class T>
void PoolPlan::forward_plane(const T* x, T* y, int64_t* indices) const {
  for_each_window([&](const Window& w) {
    if (d_.kind == PoolKind::Max) {
      const int64_t at = winner(x, w);
      y[w.output] = at < 0 ? T(-std::numeric_limits<Sum<T>>::infinity()) : x[at];
      if (indices != nullptr) indices[w.output] = at;
      return;
    }
    Sum<T> sum = 0;
    for_each_tap(d_, w, [&](int64_t i) { sum += value(x[i]); });
    const int64_t inside = w.count[0] * w.count[1] * w.count[2];
    const int64_t divisor = d_.count_include_pad ? kernel_size_ : std::max<int64_t>(inside, 1);
    y[w.output] = T(sum / static_cast<Sum<T>>(divisor));
  });
}

namespace {

// The outputs [first, end) of a row for which a tap, `offset` behind the window's place, lies inside.
struct TapColumns {
  int64_t first, end;
  TapColumns(int64_t offset, int64_t stride, int64_t width, int64_t out)
      : first(offset < 0 ? std::min(out, (-offset + stride - 1) / stride) : 0),
        end(offset >= width ? first : std::max(first, std::min(out, (width - 1 - offset) / stride + 1))) {}
};

// Eight at a time, which compilers make vectors of.
template <class F>
inline void for_each_column(const TapColumns& c, const float* __restrict x, int64_t at, int64_t stride,
                            float* __restrict y, F f) {
  constexpr int64_t kStep = 8;
  int64_t i = c.first;
  if (stride == 1)
    for (; i + kStep <= c.end; i += kStep)
      for (int64_t k = 0; k < kStep; ++k) y[i + k] = f(y[i + k], x[at + i + k]);
  for (; i < c.end; ++i) y[i] = f(y[i], x[at + i * stride]);
}

}  // namespace

// A row of outputs at a time, tap by tap: each output still meets its taps in row-major order.
void PoolPlan::forward_rows(const float* x, float* y) const {
  const int64_t width = d_.in[1], out = out_[1], stride = d_.stride[1];
  const bool max = d_.kind == PoolKind::Max;
  for (int64_t a = 0; a < out_[0]; ++a, y += out) {
    std::fill(y, y + out, max ? -std::numeric_limits<float>::infinity() : 0.0f);
    int64_t rows = 0;
    for (int64_t i = 0; i < d_.kernel[0]; ++i) {
      const int64_t row = a * d_.stride[0] - d_.pad_before[0] + i * d_.dilation[0];
      if (row < 0 || row >= d_.in[0]) continue;
      ++rows;
      for (int64_t j = 0; j < d_.kernel[1]; ++j) {
        const int64_t offset = j * d_.dilation[1] - d_.pad_before[1];
        const TapColumns columns(offset, stride, width, out);
        const int64_t at = row * width + offset;
        if (max)
          for_each_column(columns, x, at, stride, y,
                          [](float best, float v) { return order(v) > order(best) ? v : best; });
        else
          for_each_column(columns, x, at, stride, y, [](float sum, float v) { return sum + v; });
      }
    }
    if (max) continue;
    const auto divide = [&](int64_t c, int64_t inside) {
      y[c] /= static_cast<float>(d_.count_include_pad ? kernel_size_ : std::max<int64_t>(1, rows * inside));
    };
    // In the middle of the row windows are whole.
    const int64_t before = d_.pad_before[1], step = d_.dilation[1], size = d_.kernel[1];
    const TapColumns left(-before, stride, width, out), right((size - 1) * step - before, stride, width, out);
    const int64_t begin = std::min(left.first, out), end = std::max(begin, std::min(left.end, right.end));
    const auto edge = [&](int64_t c) {
      const int64_t first = c * stride - before, skipped = first < 0 ? (-first + step - 1) / step : 0;
      const int64_t at = first + skipped * step, inside = at < width ? (width - at + step - 1) / step : 0;
      divide(c, std::clamp<int64_t>(size - skipped, 0, inside));
    };
    for (int64_t c = 0; c < begin; ++c) edge(c);
    const auto whole =
        static_cast<float>(d_.count_include_pad ? kernel_size_ : std::max<int64_t>(1, rows * size));
    for (int64_t c = begin; c < end; ++c) y[c] /= whole;
    for (int64_t c = end; c < out; ++c) edge(c);
  }
}

template <class T>
void PoolPlan::backward_plane(const T* x, const int64_t* indices, const T* dy, T* dx) const {
  Sum<T>* sum;
  if constexpr (std::is_same_v<T, Sum<T>>) {
    sum = dx;
  } else {
    sum = reinterpret_cast<Sum<T>*>(thread_scratch(in_size_ * static_cast<int64_t>(sizeof(Sum<T>))));
  }
  std::fill(sum, sum + in_size_, Sum<T>(0));
  for_each_window([&](const Window& w) {
    if (d_.kind == PoolKind::Max) {
      const int64_t at = indices != nullptr ? indices[w.output] : winner(x, w);
      if (at >= 0 && at < in_size_) sum[at] += value(dy[w.output]);
      return;
    }
    const int64_t inside = w.count[0] * w.count[1] * w.count[2];
    const int64_t divisor = d_.count_include_pad ? kernel_size_ : std::max<int64_t>(inside, 1);
    const Sum<T> share = value(dy[w.output]) / static_cast<Sum<T>>(divisor);
    for_each_tap(d_, w, [&](int64_t i) { sum[i] += share; });
  });
  if constexpr (!std::is_same_v<T, Sum<T>>)
    for (int64_t i = 0; i < in_size_; ++i) dx[i] = T(sum[i]);
}

// Planes are independent; a block takes several small ones.
template <class F>
void PoolPlan::for_each_plane(ThreadPool& pool, F f) const {
  const double reads =
      static_cast<double>(in_size_) + static_cast<double>(out_size_) * static_cast<double>(kernel_size_);
  const int64_t per_block = std::max<int64_t>(1, static_cast<int64_t>(kBlockReads / reads));
  const int64_t planes = d_.planes;
  pool.parallel_for((planes + per_block - 1) / per_block, [&](int64_t block) {
    const int64_t end = std::min(planes, (block + 1) * per_block);
    for (int64_t p = block * per_block; p < end; ++p) f(p);
  });
}

void PoolPlan::forward(const void* input, void* output, int64_t* indices, ThreadPool& pool) const {
  dispatch_floating(d_.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_each_plane(pool, [&](int64_t p) {
      if constexpr (std::is_same_v<T, float>)
        if (indices == nullptr && d_.in[2] == 1 && d_.kernel[2] == 1 &&
            d_.pad_before[2] + d_.pad_after[2] == 0)
          return forward_rows(static_cast<const T*>(input) + p * in_size_,
                              static_cast<T*>(output) + p * out_size_);
      forward_plane(static_cast<const T*>(input) + p * in_size_, static_cast<T*>(output) + p * out_size_,
                    indices == nullptr ? nullptr : indices + p * out_size_);
    });
  });
}

void PoolPlan::backward(const void* input, const int64_t* indices, const void* d_output, void* d_input,
                        ThreadPool& pool) const {
  if (d_.kind == PoolKind::Max && input == nullptr && indices == nullptr && d_.planes > 0)
    invalid("pooling: the gradient of max needs the input or the indices of the forward run");
  dispatch_floating(d_.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_each_plane(pool, [&](int64_t p) {
      backward_plane(input == nullptr ? nullptr : static_cast<const T*>(input) + p * in_size_,
                     indices == nullptr ? nullptr : indices + p * out_size_,
                     static_cast<const T*>(d_output) + p * out_size_,
                     static_cast<T*>(d_input) + p * in_size_);
    });
  });
}

}  // namespace fovea::onednn
