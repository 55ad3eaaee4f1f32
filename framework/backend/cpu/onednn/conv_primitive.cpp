#include "framework/backend/cpu/onednn/conv_primitive.h"

#include "framework/backend/cpu/onednn/engine.h"
#include "framework/backend/cpu/onednn/one_thread.h"
#include "framework/backend/cpu/onednn/scratch.h"
#include "framework/base/checked.h"

namespace fovea::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;

constexpr auto kF32 = memory::data_type::f32;

// The shapes of one block, as oneDNN's dims.
struct Shapes {
  Dims input, weights, output, bias;                 // of the block
  Dims input_stride, weights_stride, output_stride;  // of the whole tensors it is part of
  Dims stride, dilation, before, after;
};

Dims dense_strides(const Dims& dims) {
  Dims strides(dims.size());
  int64_t next = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = next;
    next *= dims[i];
  }
  return strides;
}

Shapes shapes_of(const ConvDesc& d, ConvBlock block) {
  Shapes s;
  const int64_t group_in = d.in_channels / d.groups, group_out = d.out_channels / d.groups;
  s.input = {block.images, d.in_channels};
  s.output = {block.images, d.out_channels};
  s.weights = d.groups == 1 ? Dims{d.out_channels, d.in_channels} : Dims{d.groups, group_out, group_in};
  for (int i = 0; i < d.spatial; ++i) {
    s.input.push_back(d.in[i]);
    s.output.push_back(d.out(i));
    s.weights.push_back(d.kernel[i]);
    s.stride.push_back(d.stride[i]);
    s.dilation.push_back(d.dilation[i] - 1);
    s.before.push_back(d.pad_before[i]);
    s.after.push_back(d.pad_after[i]);
  }
  s.input_stride = dense_strides(s.input);
  s.output_stride = dense_strides(s.output);
  s.weights_stride = dense_strides(s.weights);
  if (d.pass == ConvPass::BackwardData) {
    s.input[1] = block.channels;
    if (d.groups == 1) s.weights[1] = block.channels;
  } else {
    s.output[1] = block.channels;
    if (d.groups == 1) s.weights[0] = block.channels;
  }
  s.bias = {s.output[1]};
  return s;
}

memory::desc any(const Dims& dims) { return memory::desc(dims, kF32, memory::format_tag::any); }

// oneDNN 3 dropped the operation descriptors that oneDNN 2 puts between arguments and primitive_desc.
#if DNNL_VERSION_MAJOR >= 3
#define FOVEA_CONV_DESC(type, attr, ...) type::primitive_desc(engine(), __VA_ARGS__, attr)
#define FOVEA_CONV_GRADIENT_DESC(type, attr, hint, ...) \
  type::primitive_desc(engine(), __VA_ARGS__, hint, attr)
#else
#define FOVEA_CONV_DESC(type, attr, ...) type::primitive_desc(type::desc(__VA_ARGS__), attr, engine())
#define FOVEA_CONV_GRADIENT_DESC(type, attr, hint, ...) \
  type::primitive_desc(type::desc(__VA_ARGS__), attr, engine(), hint)
#endif

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(const Shapes& s) {
  return FOVEA_CONV_DESC(dnnl::convolution_forward, attributes(), dnnl::prop_kind::forward_training,
                         kAlgorithm, any(s.input), any(s.weights), any(s.output), s.stride, s.dilation,
                         s.before, s.after);
}

}  // namespace

ConvPrimitive::ConvPrimitive(const ConvDesc& desc, ConvBlock block)
    : pass_(desc.pass), bias_(desc.bias && desc.pass == ConvPass::BackwardWeights) {
  OneThread one_thread;
  with_typed_errors("preparing a convolution", [&] { choose(desc, block); });
}

void ConvPrimitive::choose(const ConvDesc& desc, ConvBlock block) {
  const Shapes s = shapes_of(desc, block);
  input_.plain = memory::desc(s.input, kF32, s.input_stride);
  output_.plain = memory::desc(s.output, kF32, s.output_stride);
  weights_.plain = memory::desc(s.weights, kF32, s.weights_stride);
  const auto forward = forward_desc(s);
  if (pass_ == ConvPass::Forward) {
    primitive_ = dnnl::convolution_forward(forward);
    connect(input_, forward.src_desc(), true);
    connect(weights_, forward.weights_desc(), true);
    connect(output_, forward.dst_desc(), false);
    scratchpad_ = forward.scratchpad_desc();
  } else if (pass_ == ConvPass::BackwardData) {
    const auto own = FOVEA_CONV_GRADIENT_DESC(dnnl::convolution_backward_data, attributes(), forward,
                                              kAlgorithm, any(s.input), any(s.weights), any(s.output),
                                              s.stride, s.dilation, s.before, s.after);
    primitive_ = dnnl::convolution_backward_data(own);
    connect(input_, own.diff_src_desc(), false);
    connect(weights_, own.weights_desc(), true);
    connect(output_, own.diff_dst_desc(), true);
    scratchpad_ = own.scratchpad_desc();
  } else {
    bias_desc_ = bias_ ? memory::desc(s.bias, kF32, memory::format_tag::x) : memory::desc();
    const auto own = FOVEA_CONV_GRADIENT_DESC(dnnl::convolution_backward_weights, attributes(), forward,
                                              kAlgorithm, any(s.input), any(s.weights), bias_desc_,
                                              any(s.output), s.stride, s.dilation, s.before, s.after);
    primitive_ = dnnl::convolution_backward_weights(own);
    connect(input_, own.src_desc(), true);
    connect(weights_, own.diff_weights_desc(), false);
    connect(output_, own.diff_dst_desc(), true);
    scratchpad_ = own.scratchpad_desc();
  }
  scratchpad_offset_ = place(scratchpad_);
}

int64_t ConvPrimitive::place(const memory::desc& desc) {
  const int64_t offset = scratch_bytes_;
  scratch_bytes_ += round_up(static_cast<int64_t>(desc.get_size()), 64);
  return offset;
}

void ConvPrimitive::connect(Way& way, const memory::desc& own, bool into_own) {
  way.own = own;
  way.needed = own != way.plain;
  if (!way.needed) return;
  const auto& from = into_own ? way.plain : way.own;
  const auto& to = into_own ? way.own : way.plain;
  way.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to, attributes()));
  // Packed weights are shared by all blocks; all else lives as long as a block does.
  const bool shared = &way == &weights_ && pass_ != ConvPass::BackwardWeights;
  if (!shared) way.offset = place(own);
}

int64_t ConvPrimitive::packed_weights_bytes() const {
  if (pass_ == ConvPass::BackwardWeights || !weights_.needed) return 0;
  return round_up(static_cast<int64_t>(weights_.own.get_size()), 64);
}

void ConvPrimitive::pack_weights(const float* from, float* to) const {
  OneThread one_thread;
  with_typed_errors("packing a convolution's weights", [&] {
    auto source = memory_at(weights_.plain, from), target = memory_at(weights_.own, to);
    weights_.reorder.execute(stream(), source, target);
  });
}

void ConvPrimitive::run(float* input, float* weights, float* output, float* bias) const {
  OneThread one_thread;
  char* scratch = thread_scratch(scratch_bytes_);
  const auto outside = [](const Way& way, float* data) { return memory_at(way.plain, data); };
  const auto inside = [&](const Way& way, float* data) {
    return memory_at(way.own, way.needed ? static_cast<void*>(scratch + way.offset) : data);
  };
  with_typed_errors("running a convolution", [&] {
    const bool gradient_of_weights = pass_ == ConvPass::BackwardWeights;
    memory in = inside(input_, input), out = inside(output_, output);
    memory w = gradient_of_weights ? inside(weights_, weights) : memory_at(weights_.own, weights);
    memory in_plain = outside(input_, input), out_plain = outside(output_, output);
    const auto enter = [&](const Way& way, memory& plain, memory& own) {
      if (way.needed) way.reorder.execute(stream(), plain, own);
    };
    const auto leave = [&](const Way& way, memory& own, memory& plain) {
      if (way.needed) way.reorder.execute(stream(), own, plain);
    };
    const memory pad = memory_at(scratchpad_, scratch + scratchpad_offset_);
    if (pass_ == ConvPass::Forward) {
      enter(input_, in_plain, in);
      primitive_.execute(
          stream(),
          {{DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, out}, {DNNL_ARG_SCRATCHPAD, pad}});
      leave(output_, out, out_plain);
    } else if (pass_ == ConvPass::BackwardData) {
      enter(output_, out_plain, out);
      primitive_.execute(stream(), {{DNNL_ARG_DIFF_DST, out},
                                    {DNNL_ARG_WEIGHTS, w},
                                    {DNNL_ARG_DIFF_SRC, in},
                                    {DNNL_ARG_SCRATCHPAD, pad}});
      leave(input_, in, in_plain);
    } else {
      enter(input_, in_plain, in);
      enter(output_, out_plain, out);
      std::unordered_map<int, memory> operands{{DNNL_ARG_SRC, in},
                                               {DNNL_ARG_DIFF_DST, out},
                                               {DNNL_ARG_DIFF_WEIGHTS, w},
                                               {DNNL_ARG_SCRATCHPAD, pad}};
      if (bias_) operands.emplace(DNNL_ARG_DIFF_BIAS, memory_at(bias_desc_, bias));
      primitive_.execute(stream(), operands);
      memory w_plain = outside(weights_, weights);
      leave(weights_, w, w_plain);
    }
  });
}

}  // namespace fovea::onednn
