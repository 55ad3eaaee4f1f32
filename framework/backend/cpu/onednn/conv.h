// Convolutions in 1 to 3 spatial dims and their gradients, on raw pointers.
#pragma once

#include <cstdint>
#include <memory>

#include "framework/backend/cpu/onednn/epilogue.h"
#include "framework/tensor/dtype.h"

namespace fovea {
class ThreadPool;
}

namespace fovea::onednn {

inline constexpr int kMaxSpatialDims = 3;

enum class ConvPass : uint8_t {
  Forward,          ///< output = input * weights
  BackwardData,     ///< gradient of the input; as an operation of its own: transposed convolution
  BackwardWeights,  ///< gradients of weights and bias
};

/// input [batch, in_channels, in...], weights [out_channels, in_channels / groups, kernel...],
/// output [batch, out_channels, out...], all dense and row-major, with
/// out = (in + pad_before + pad_after - dilation (kernel - 1) - 1) / stride + 1, rounded down.
///
/// f32, or f16 and bf16 computed in f32. The written tensor y of Forward and BackwardData is
/// activation(y + bias[channel] + residual).
struct ConvDesc {
  ConvPass pass = ConvPass::Forward;
  DType dtype = DType::f32;
  int spatial = 2;
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  int64_t in[kMaxSpatialDims] = {1, 1, 1}, kernel[kMaxSpatialDims] = {1, 1, 1},
          stride[kMaxSpatialDims] = {1, 1, 1};
  int64_t dilation[kMaxSpatialDims] = {1, 1, 1};
  int64_t pad_before[kMaxSpatialDims] = {}, pad_after[kMaxSpatialDims] = {};
  bool bias = false;  ///< a bias is added, or in BackwardWeights its gradient is wanted
  Activation activation = Activation::None;
  bool residual = false;  ///< has the written tensor's shape

  /// Size of the output in spatial dim i; InvalidArgument if the kernel does not fit.
  int64_t out(int i) const;
};

/// The operands of one run; which are read and which are written depends on the pass.
struct ConvArgs {
  void* input = nullptr;           ///< written by BackwardData
  void* weights = nullptr;         ///< written by BackwardWeights
  void* output = nullptr;          ///< written by Forward
  void* bias = nullptr;            ///< written by BackwardWeights
  const void* residual = nullptr;  ///< must not overlap the written tensor
  void* workspace = nullptr;       ///< workspace_bytes(), aligned to 64
};

/// A convolution made ready for one set of shapes. Images are cut into blocks by the shapes alone, and the
/// gradient of the weights is a sum of one part for each block in order, so results have equal bits for any
/// number of threads. Preparing takes a millisecond or so, since oneDNN compiles a kernel; oneDNN keeps the
/// last 1024 of them.
class ConvPlan {
 public:
  /// InvalidArgument or Unsupported with a sentence where the description breaks a rule above.
  explicit ConvPlan(const ConvDesc& desc);
  ~ConvPlan();
  ConvPlan(ConvPlan&&) noexcept;
  ConvPlan& operator=(ConvPlan&&) noexcept;

  int64_t workspace_bytes() const;
  /// How many pieces of work one run hands to the pool.
  int64_t blocks() const;
  /// Computes what the pass says. May run in several threads at once, each with its own workspace.
  void run(const ConvArgs& args, ThreadPool& pool) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace fovea::onednn
