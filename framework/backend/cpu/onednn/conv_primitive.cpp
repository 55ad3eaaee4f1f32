#include "framework/backend/cpu/onednn/conv_primitive.h"

#include "framework/backend/cpu/onednn/engine.h"
#include "framework/backend/cpu/onednn/one_thread.h"
#include "framework/backend/cpu/onednn/scratch.h"
#include "framework/backend/cpu/onednn/signals_held.h"
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
  const OneThread one_thread;
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

class ConvPrimitive::Lent {
 public:
  explicit Lent(const ConvPrimitive& p) : of_(p) {
    {
      const std::lock_guard lock(p.mutex_);
      if (!p.idle_.empty()) {
        operands_ = std::move(p.idle_.back());
        p.idle_.pop_back();
        return;
      }
    }
    operands_ = std::make_unique<Operands>();
    const auto make = [](const memory::desc& desc) { return memory(desc, engine(), DNNL_MEMORY_NONE); };
    operands_->input = make(p.input_.own), operands_->input_plain = make(p.input_.plain);
    operands_->weights = make(p.weights_.own), operands_->weights_plain = make(p.weights_.plain);
    operands_->output = make(p.output_.own), operands_->output_plain = make(p.output_.plain);
    if (p.bias_) operands_->bias = make(p.bias_desc_);
    operands_->scratchpad = make(p.scratchpad_);
  }
  ~Lent() {
    const std::lock_guard lock(of_.mutex_);
    of_.idle_.push_back(std::move(operands_));
  }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  Operands* operator->() const { return operands_.get(); }

 private:
  const ConvPrimitive& of_;
  std::unique_ptr<Operands> operands_;
};

void ConvPrimitive::pack_weights(const float* from, float* to) const {
  const OneThread one_thread;
  with_typed_errors("packing a convolution's weights", [&] {
    const Lent operands(*this);
    operands->weights_plain.set_data_handle(const_cast<float*>(from));
    operands->weights.set_data_handle(to);
    execute(weights_.reorder,
            {{DNNL_ARG_FROM, operands->weights_plain.get()}, {DNNL_ARG_TO, operands->weights.get()}});
  });
}

void ConvPrimitive::run(float* input, float* weights, float* output, float* bias) const {
  const OneThread one_thread;
  const SignalsHeld held;  // some convolutions go through matrix products
  char* scratch = thread_scratch(scratch_bytes_);
  with_typed_errors("running a convolution", [&] {
    const Lent operands(*this);
    const bool gradient_of_weights = pass_ == ConvPass::BackwardWeights;
    const auto point = [&](const Way& way, memory& own, memory& plain, float* data) {
      if (way.needed) plain.set_data_handle(data);
      own.set_data_handle(way.needed ? static_cast<void*>(scratch + way.offset) : data);
    };
    const auto enter = [&](const Way& way, const memory& plain, const memory& own) {
      if (way.needed) execute(way.reorder, {{DNNL_ARG_FROM, plain.get()}, {DNNL_ARG_TO, own.get()}});
    };
    const auto leave = [&](const Way& way, const memory& own, const memory& plain) {
      enter(way, own, plain);
    };
    point(input_, operands->input, operands->input_plain, input);
    point(output_, operands->output, operands->output_plain, output);
    if (gradient_of_weights)
      point(weights_, operands->weights, operands->weights_plain, weights);
    else
      operands->weights.set_data_handle(weights);
    operands->scratchpad.set_data_handle(scratch + scratchpad_offset_);
    const dnnl_memory_t in = operands->input.get(), w = operands->weights.get(), out = operands->output.get(),
                        pad = operands->scratchpad.get();
    if (pass_ == ConvPass::Forward) {
      enter(input_, operands->input_plain, operands->input);
      execute(primitive_,
              {{DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, out}, {DNNL_ARG_SCRATCHPAD, pad}});
      leave(output_, operands->output, operands->output_plain);
    } else if (pass_ == ConvPass::BackwardData) {
      enter(output_, operands->output_plain, operands->output);
      execute(primitive_, {{DNNL_ARG_DIFF_DST, out},
                           {DNNL_ARG_WEIGHTS, w},
                           {DNNL_ARG_DIFF_SRC, in},
                           {DNNL_ARG_SCRATCHPAD, pad}});
      leave(input_, operands->input, operands->input_plain);
    } else {
      enter(input_, operands->input_plain, operands->input);
      enter(output_, operands->output_plain, operands->output);
      if (bias_) operands->bias.set_data_handle(bias);
      const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, in},
                                      {DNNL_ARG_DIFF_DST, out},
                                      {DNNL_ARG_DIFF_WEIGHTS, w},
                                      {DNNL_ARG_SCRATCHPAD, pad},
                                      {DNNL_ARG_DIFF_BIAS, bias_ ? operands->bias.get() : nullptr}};
      execute(primitive_, args, bias_ ? 5 : 4);
      leave(weights_, operands->weights, operands->weights_plain);
    }
  });
}

}  // namespace fovea::onednn
