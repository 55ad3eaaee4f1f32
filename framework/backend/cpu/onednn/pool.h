// Max and average pooling in 1 to 3 spatial dims and their gradients, on raw pointers.
#pragma once

#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea {
class ThreadPool;
}

namespace fovea::onednn {

enum class PoolKind : uint8_t {
  Max,      ///< the largest element of the window; padding never wins; NaN wins over all, as in NumPy
  Average,  ///< the mean of the window's elements
};

/// input [planes, in...] and output [planes, out...], dense and row-major, with
/// out = (in + pad_before + pad_after - dilation (kernel - 1) - 1) / stride + 1, rounded down. Any floating
/// dtype; sums of f16 and bf16 are in f32. A window wholly in the padding gives -inf or 0.
struct PoolDesc {
  PoolKind kind = PoolKind::Max;
  DType dtype = DType::f32;
  int spatial = 2;
  int64_t planes = 1;  ///< batch * channels
  int64_t in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  int64_t pad_before[3] = {}, pad_after[3] = {};
  bool count_include_pad = false;  ///< Average divides by the kernel's size, not by the elements inside

  /// Size of the output in spatial dim i; InvalidArgument if the window does not fit.
  int64_t out(int i) const;
};

/// Pooling made ready for one set of shapes.
class PoolPlan {
 public:
  /// InvalidArgument or Unsupported with a sentence where the description breaks a rule above.
  explicit PoolPlan(const PoolDesc& desc);

  /// output = pool(input). `indices`, if given, receives for Max the place of each winner in its plane (the
  /// first of equals, -1 in an empty window).
  void forward(const void* input, void* output, int64_t* indices, ThreadPool& pool) const;

  /// d_input from d_output. Max needs `indices` of the forward run, or else `input`, from which it finds them
  /// again; at ties the first winner gets all.
  void backward(const void* input, const int64_t* indices, const void* d_output, void* d_input,
                ThreadPool& pool) const;

 private:
  struct Window;

  template <class F>
  void for_each_window(F f) const;
  void forward_rows(const float* x, float* y) const;
  template <class T>
  void forward_plane(const T* x, T* y, int64_t* indices) const;
  template <class T>
  void backward_plane(const T* x, const int64_t* indices, const T* dy, T* dx) const;
  template <class T>
  int64_t winner(const T* x, const Window& w) const;
  template <class F>
  void for_each_plane(ThreadPool& pool, F f) const;

  PoolDesc d_;
  int64_t out_[3] = {1, 1, 1};
  int64_t in_size_ = 1, out_size_ = 1, kernel_size_ = 1;
};

}  // namespace fovea::onednn
