// Copies and conversions of strided arrays.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "framework/tensor/array.h"
#include "framework/tensor/element.h"
#include "framework/tensor/strided.h"

namespace fovea {
namespace {

// target[r][c] = source[r * row + c * col], in tiles so that both sides stay in cache lines already fetched.
template <class T>
void copy_plane(const T* source, int64_t row, int64_t col, T* target, int64_t rows, int64_t cols) {
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t c0 = 0; c0 < cols; c0 += kTile) {
      const int64_t r1 = std::min(rows, r0 + kTile), c1 = std::min(cols, c0 + kTile);
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c) target[r * cols + c] = source[r * row + c * col];
    }
}

// Writes the strided elements at `source` to `target` in row-major order.
template <class T>
void copy_strided(const T* source, const Runs& runs, T* target) {
  const size_t n = runs.shape.size();
  const int64_t count = runs.shape[n - 1], stride = runs.strides[n - 1];
  if (n >= 2 && std::abs(runs.strides[n - 2]) < std::abs(stride)) {  // a transposition
    const int64_t rows = runs.shape[n - 2], row = runs.strides[n - 2];
    for_each_run(runs, 2, [&](int64_t from, int64_t to) {
      copy_plane(source + from, row, stride, target + to, rows, count);
    });
    return;
  }
  for_each_run(runs, 1, [&](int64_t from, int64_t to) {
    const T* s = source + from;
    if (stride == 1) {
      std::memcpy(target + to, s, static_cast<size_t>(count) * sizeof(T));
    } else {
      for (int64_t i = 0; i < count; ++i) target[to + i] = s[i * stride];
    }
  });
}

// Converts `count` elements that lie `stride` apart.
template <class To, class From>
void convert_run(const void* source, int64_t stride, void* target, int64_t count) {
  const From* s = static_cast<const From*>(source);
  To* t = static_cast<To*>(target);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) t[i] = convert_element<To>(load_element(s + i));
  } else {
    for (int64_t i = 0; i < count; ++i) t[i] = convert_element<To>(load_element(s + i * stride));
  }
}

using Convert = void (*)(const void*, int64_t, void*, int64_t);

Convert converter(DType from, DType to) {
  return dispatch(from, [to](auto f) {
    return dispatch(to, [](auto t) -> Convert { return convert_run<decltype(t), decltype(f)>; });
  });
}

}  // namespace

Array Array::contiguous() const { return defined() && is_contiguous() ? *this : copy(); }

Array Array::copy() const {
  const void* source = raw();
  Array out(dtype_, shape_);
  if (size_ == 0) return out;
  const Runs runs = merge_dims(shape_, strides_);
  dispatch(dtype_, [&](auto t) {
    using T = std::conditional_t<std::is_same_v<decltype(t), bool>, uint8_t, decltype(t)>;
    copy_strided(static_cast<const T*>(source), runs, static_cast<T*>(out.raw()));
  });
  return out;
}

Array Array::cast(DType dtype) const {
  const char* source = static_cast<const char*>(raw());
  if (dtype == dtype_) return *this;
  Array out(dtype, shape_);
  if (size_ == 0) return out;
  char* target = static_cast<char*>(out.raw());
  const Runs runs = merge_dims(shape_, strides_);
  const int64_t count = runs.shape.back(), stride = runs.strides.back();
  const int64_t from_width = size_of(dtype_), to_width = size_of(dtype);
  const Convert convert = converter(dtype_, dtype);
  for_each_run(runs, 1, [&](int64_t from, int64_t to) {
    convert(source + from * from_width, stride, target + to * to_width, count);
  });
  return out;
}

}  // namespace fovea
