// oneDNN's side of a convolution: primitives for a block of images, with the memory formats they want.
// Internal.
#pragma once

#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <vector>

#include "framework/backend/cpu/onednn/conv.h"

namespace fovea::onednn {

/// What a block covers: `images` images, and of the split channels `channels` in a row.
struct ConvBlock {
  int64_t images, channels;
};

/// One primitive and the ways into and out of its formats. Built once, executed by any thread.
class ConvPrimitive {
 public:
  ConvPrimitive(const ConvDesc& desc, ConvBlock block);

  /// Bytes of weights in the primitive's own format; 0 if it reads them as they are.
  int64_t packed_weights_bytes() const;
  void pack_weights(const float* from, float* to) const;

  /// Runs on one block. `weights` is packed (or plain, where nothing is to be packed); in BackwardWeights it
  /// receives the plain gradient, and `bias` the gradient of the bias, if wanted.
  void run(float* input, float* weights, float* output, float* bias) const;

 private:
  struct Way {  // between a plain tensor and the same in the primitive's format
    dnnl::memory::desc plain, own;
    bool needed = false;
    dnnl::reorder reorder;
    int64_t offset = 0;  // into the thread's scratch memory
  };
  // oneDNN's handles of all operands: made once for as many threads as run at the same time, and pointed at
  // the data of a block.
  struct Operands {
    dnnl::memory input, weights, output, input_plain, weights_plain, output_plain, bias, scratchpad;
  };
  class Lent;  // operands of the set, for one call
  void choose(const ConvDesc& desc, ConvBlock block);
  void connect(Way& way, const dnnl::memory::desc& own, bool into_own);
  int64_t place(const dnnl::memory::desc& desc);

  ConvPass pass_;
  bool bias_;
  dnnl::primitive primitive_;
  Way input_, weights_, output_;
  dnnl::memory::desc bias_desc_, scratchpad_;
  int64_t scratchpad_offset_ = 0, scratch_bytes_ = 0;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Operands>> idle_;
};

}  // namespace fovea::onednn
