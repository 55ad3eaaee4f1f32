#include "frontends/nn/train_step.h"

#include <algorithm>
#include <cstring>

#include "framework/base/checked.h"
#include "framework/base/error.h"
#include "framework/runtime/pages.h"
#include "frontends/cpp/record.h"
#include "generated/ops.h"
#include "graph/build/builder.h"

namespace fovea::nn {

ParameterGroup no_decay_on_vectors() {
  return {[](const NamedParameter& p) { return p.parameter.shape().size() < 2; }, 1, 0.0};
}

namespace {

// One tensor that lives from step to step.
struct Slot {
  std::string name;
  Array value;
};

Spec spec_of(const std::string& name, const Array& a) { return Spec(a.dtype(), to_shape(a.shape()), name); }

// Zeros like every parameter, a few times over, in one block.
class ZeroedLike {
 public:
  ZeroedLike(const std::vector<NamedParameter>& parameters, size_t times) {
    for (const NamedParameter& p : parameters) bytes_ = checked_add(bytes_, space_of(p));
    bytes_ = checked_mul(bytes_, static_cast<int64_t>(times));
    block_ = Buffer::zeros(bytes_);
    take_pages(*block_);
  }
  Array operator()(const NamedParameter& p) const {
    const int64_t at = used_;
    used_ += space_of(p);
    const Dims& shape = p.parameter.shape();
    return Array(block_, p.parameter.dtype(), shape, contiguous_strides(shape),
                 at / size_of(p.parameter.dtype()));
  }

 private:
  static int64_t space_of(const NamedParameter& p) {
    return round_up(checked_mul(product(p.parameter.shape()), size_of(p.parameter.dtype())), 64);
  }
  std::shared_ptr<Buffer> block_;
  int64_t bytes_ = 0;
  mutable int64_t used_ = 0;
};

}  // namespace

struct TrainStep::Impl {
  std::vector<NamedParameter> trained, frozen, buffers;
  LossFunction loss;
  std::vector<Spec> batch;
  TrainOptions options;
  // Trained, buffers, optimiser state (by parameter), moving averages, sums of gradients.
  std::vector<Slot> slots;
  std::vector<Array> frozen_values;
  size_t optimiser_at = 0, ema_at = 0, sums_at = 0;
  std::unique_ptr<Program> update, accumulate;
  size_t results = 0;  // loss and metrics
  Array key, lr, count;
  std::vector<Array> arguments;
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<Array> scalars;
  std::vector<double> answers;
  int64_t micro = 0;

  void make_slots();
  std::unique_ptr<Program> build(bool updates);
  std::vector<Tensor> forward_backward(const std::vector<Tensor>& state, const std::vector<Tensor>& fixed,
                                       const Tensor& key_in, const std::vector<Tensor>& data,
                                       std::vector<Tensor>& gradients);
  void append_updates(const std::vector<Tensor>& state, std::vector<Tensor> gradients, const Tensor& lr_in,
                      const Tensor& step_in, std::vector<Tensor>& next);
  void write_parameters() const;
};

void TrainStep::Impl::make_slots() {
  const ZeroedLike zeros(trained, state_names(options.optimizer).size() + (options.accumulate > 1));
  // Trained in place: the module sees its parameters change. Memory that others hold, too, is left to them.
  auto own = [](const NamedParameter& p) {
    Array value = p.parameter.value();
    constexpr long kParameterAndHere = 2;
    if (value.buffer().use_count() > kParameterAndHere || !value.is_contiguous() || value.offset() != 0) {
      value = value.copy();
      Parameter(p.parameter).set_value(value);
    }
    return value;
  };
  for (const NamedParameter& p : trained) slots.push_back({"param/" + p.name, own(p)});
  for (const NamedParameter& p : buffers) slots.push_back({"buffer/" + p.name, own(p)});
  optimiser_at = slots.size();
  for (const NamedParameter& p : trained)
    for (const std::string& s : state_names(options.optimizer))
      slots.push_back({"optimizer." + s + "/" + p.name, zeros(p)});
  ema_at = slots.size();
  if (options.ema > 0)
    for (const NamedParameter& p : trained) slots.push_back({"ema/" + p.name, p.parameter.value().copy()});
  sums_at = slots.size();
  if (options.accumulate > 1)
    for (const NamedParameter& p : trained) slots.push_back({"gradient/" + p.name, zeros(p)});
  for (const NamedParameter& p : frozen) frozen_values.push_back(p.parameter.value());
}

// Returns {loss, metrics..., new buffers...}.
std::vector<Tensor> TrainStep::Impl::forward_backward(const std::vector<Tensor>& state,
                                                      const std::vector<Tensor>& fixed, const Tensor& key_in,
                                                      const std::vector<Tensor>& data,
                                                      std::vector<Tensor>& gradients) {
  const DType compute = options.compute;
  auto converted = [&](const Tensor& x) {
    return is_floating(x.dtype()) && x.dtype() != compute ? cast(x, compute) : x;
  };
  const Function body = [&](const std::vector<Tensor>& parameters) {
    Scope scope(true, key_in);
    for (size_t i = 0; i < trained.size(); ++i) scope.bind(trained[i].parameter, converted(parameters[i]));
    for (size_t i = 0; i < frozen.size(); ++i) scope.bind(frozen[i].parameter, converted(fixed[i]));
    for (size_t i = 0; i < buffers.size(); ++i) scope.bind(buffers[i].parameter, state[trained.size() + i]);
    std::vector<Tensor> inputs;
    for (const Tensor& d : data) inputs.push_back(converted(d));
    std::vector<Tensor> out = loss(inputs);
    if (out.empty()) invalid("the loss function returned nothing");
    for (Tensor& t : out) {
      if (t.rank() != 0) invalid("loss and metrics must be scalars, got " + to_string(t.type()));
      if (t.dtype() != DType::f32) t = cast(t, DType::f32);
    }
    results = out.size();
    for (const NamedParameter& b : buffers) {
      const Tensor next = scope.current(b.parameter);
      out.push_back(next.dtype() == b.parameter.dtype() ? next : cast(next, b.parameter.dtype()));
    }
    return out;
  };
  std::vector<int64_t> wrt(trained.size());
  for (size_t i = 0; i < wrt.size(); ++i) wrt[i] = static_cast<int64_t>(i);
  const std::vector<Tensor> parameters(state.begin(),
                                       state.begin() + static_cast<std::ptrdiff_t>(trained.size()));
  std::vector<Tensor> out = value_and_grad(body, wrt)(parameters);
  gradients.assign(out.end() - static_cast<std::ptrdiff_t>(trained.size()), out.end());
  out.resize(out.size() - trained.size());
  return out;
}

void TrainStep::Impl::append_updates(const std::vector<Tensor>& state, std::vector<Tensor> gradients,
                                     const Tensor& lr_in, const Tensor& step_in, std::vector<Tensor>& next) {
  NameScope scope("update");
  Tensor scale;
  if (options.clip_norm > 0) {
    const Tensor norm = apply1("global_norm", gradients);
    scale = minimum(options.clip_norm / (norm + 1e-6), 1.0);
  }
  const size_t per = state_names(options.optimizer).size();
  for (size_t i = 0; i < trained.size(); ++i) {
    double lr_scale = 1, decay = weight_decay(options.optimizer);
    for (const ParameterGroup& g : options.groups)
      if (g.matches(trained[i])) {
        lr_scale = g.lr_scale;
        decay = g.weight_decay.value_or(decay);
        break;
      }
    const std::vector<Tensor> own(state.begin() + static_cast<std::ptrdiff_t>(optimiser_at + i * per),
                                  state.begin() + static_cast<std::ptrdiff_t>(optimiser_at + (i + 1) * per));
    const std::vector<Tensor> updated =
        append_update(options.optimizer, state[i], gradients[i], own,
                      lr_scale == 1 ? lr_in : lr_in * lr_scale, step_in, scale, decay);
    next[i] = updated[0];
    for (size_t k = 0; k < per; ++k) next[optimiser_at + i * per + k] = updated[1 + k];
    if (options.ema > 0) next[ema_at + i] = ema_update(state[ema_at + i], updated[0], options.ema);
  }
}

// The function (slots, frozen, key, lr, step, batch) -> (loss, metrics, slots), with every slot updated in
// its place.
std::unique_ptr<Program> TrainStep::Impl::build(bool updates) {
  auto module = std::make_shared<fovea::Module>();
  std::vector<Spec> specs;
  for (const Slot& s : slots) specs.push_back(spec_of(s.name, s.value));
  for (size_t i = 0; i < frozen.size(); ++i)
    specs.push_back(spec_of("param/" + frozen[i].name, frozen_values[i]));
  specs.push_back(spec_of("key", key));
  specs.push_back(spec_of("lr", lr));
  specs.push_back(spec_of("step", count));
  specs.insert(specs.end(), batch.begin(), batch.end());
  const size_t scalars_at = slots.size() + frozen.size();
  trace_into(
      module,
      [&](const std::vector<Tensor>& in) {
        auto at = [&](size_t i) { return in.begin() + static_cast<std::ptrdiff_t>(i); };
        const std::vector<Tensor> state(in.begin(), at(slots.size())),
            fixed(at(slots.size()), at(scalars_at)), data(at(scalars_at + 3), in.end());
        std::vector<Tensor> gradients;
        std::vector<Tensor> out = forward_backward(state, fixed, in[scalars_at], data, gradients);
        std::vector<Tensor> next = state;
        std::copy(out.begin() + static_cast<std::ptrdiff_t>(results), out.end(),
                  next.begin() + static_cast<std::ptrdiff_t>(trained.size()));
        if (options.accumulate > 1)
          for (size_t i = 0; i < trained.size(); ++i) {
            gradients[i] = state[sums_at + i] + gradients[i] * (1.0 / options.accumulate);
            next[sums_at + i] = updates ? state[sums_at + i] * 0.0 : gradients[i];
          }
        if (updates) append_updates(state, gradients, in[scalars_at + 1], in[scalars_at + 2], next);
        out.resize(results);
        out.insert(out.end(), next.begin(), next.end());
        return out;
      },
      specs, updates ? "train_step" : "accumulate_step");
  CompileOptions compile = options.compile;
  for (size_t i = 0; i < slots.size(); ++i)
    compile.donate.emplace_back(static_cast<int>(i), static_cast<int>(results + i));
  return std::make_unique<Program>(module, updates ? "train_step" : "accumulate_step", compile);
}

TrainStep::TrainStep(const Module& module, LossFunction loss, std::vector<Spec> batch, TrainOptions options)
    : impl_(std::make_unique<Impl>()) {
  if (options.accumulate < 1)
    invalid("accumulate is " + std::to_string(options.accumulate) + ", less than 1");
  impl_->loss = std::move(loss);
  impl_->batch = std::move(batch);
  impl_->options = std::move(options);
  for (const NamedParameter& p : module.parameters())
    (p.parameter.is_buffer()   ? impl_->buffers
     : p.parameter.trainable() ? impl_->trained
                               : impl_->frozen)
        .push_back(p);
  if (impl_->trained.empty()) invalid("there is nothing to train: the module has no trainable parameter");
  impl_->make_slots();
  impl_->key = Array::of(std::vector<int64_t>{static_cast<int64_t>(impl_->options.seed), 0}, {2});
  impl_->lr = Array::scalar(0.0f);
  impl_->count = Array::scalar(0.0f);
  impl_->update = impl_->build(true);
  if (impl_->options.accumulate > 1) impl_->accumulate = impl_->build(false);
  Impl& m = *impl_;
  for (const Slot& s : m.slots) m.arguments.push_back(s.value);
  for (const Array& a : m.frozen_values) m.arguments.push_back(a.contiguous());
  for (const Array& a : {m.key, m.lr, m.count}) m.arguments.push_back(a);
  for (size_t i = 0; i < m.results; ++i) m.scalars.push_back(Array::scalar(0.0f));
  m.answers.resize(m.results);
  for (const Array& a : m.scalars) m.out.push_back(a.raw());
  for (const Slot& s : m.slots) m.out.push_back(s.value.raw());
}

TrainStep::~TrainStep() = default;

const std::vector<double>& TrainStep::operator()(const std::vector<Array>& batch, double lr) {
  Impl& m = *impl_;
  if (batch.size() != m.batch.size())
    invalid("the step takes " + std::to_string(m.batch.size()) + " tensors a batch, got " +
            std::to_string(batch.size()));
  const bool updates = m.micro + 1 == m.options.accumulate;
  static_cast<int64_t*>(m.key.raw())[1] = step_ * m.options.accumulate + m.micro;
  *static_cast<float*>(m.lr.raw()) = static_cast<float>(lr < 0 ? learning_rate(m.options.optimizer) : lr);
  *static_cast<float*>(m.count.raw()) = static_cast<float>(step_ + 1);
  const size_t fixed = m.slots.size() + m.frozen.size() + 3;
  m.arguments.resize(fixed + batch.size());
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].is_contiguous())
      m.arguments[fixed + i] = batch[i];
    else
      m.arguments[fixed + i] = batch[i].contiguous();
  }
  const auto plan = (updates ? m.update : m.accumulate)->plan(m.arguments);
  m.in.clear();
  for (const Array& a : m.arguments) m.in.push_back(a.raw());
  plan->run(m.in.data(), m.out.data());
  m.micro = updates ? 0 : m.micro + 1;
  step_ += updates;
  for (size_t i = 0; i < m.scalars.size(); ++i) m.answers[i] = *static_cast<const float*>(m.scalars[i].raw());
  return m.answers;
}

std::vector<std::pair<std::string, Array>> TrainStep::state() const {
  std::vector<std::pair<std::string, Array>> out;
  for (const Slot& s : impl_->slots) out.emplace_back(s.name, s.value);
  out.emplace_back("step", Array::of(std::vector<int64_t>{step_, impl_->micro}, {2}));
  return out;
}

void TrainStep::load_state(const std::map<std::string, Array>& state) {
  auto find = [&](const std::string& name) -> const Array& {
    auto at = state.find(name);
    if (at == state.end()) invalid("the training state has no '" + name + "'");
    return at->second;
  };
  for (const Slot& s : impl_->slots) {
    const Array& from = find(s.name);
    if (from.dtype() != s.value.dtype() || from.shape() != s.value.shape())
      invalid("the training state's '" + s.name + "' is " + std::string(to_string(from.dtype())) +
              to_string(from.shape()) + ", the model's is " + std::string(to_string(s.value.dtype())) +
              to_string(s.value.shape()));
  }
  const std::vector<int64_t> counters = find("step").to_vector<int64_t>();
  if (counters.size() != 2)
    invalid("the training state's 'step' has " + std::to_string(counters.size()) + " numbers, not 2");
  for (const Slot& s : impl_->slots)
    std::memcpy(s.value.raw(), find(s.name).contiguous().raw(), static_cast<size_t>(s.value.nbytes()));
  step_ = counters[0];
  impl_->micro = counters[1];
}

void TrainStep::publish(bool average) const {
  const Impl& m = *impl_;
  const size_t from = average && m.options.ema > 0 ? m.ema_at : 0;
  for (size_t i = 0; i < m.trained.size(); ++i)
    Parameter(m.trained[i].parameter).set_value(m.slots[from + i].value);
  for (size_t i = 0; i < m.buffers.size(); ++i)
    Parameter(m.buffers[i].parameter).set_value(m.slots[m.trained.size() + i].value);
}

const Program& TrainStep::program() const { return *impl_->update; }

std::vector<Array> TrainStep::arguments(const std::vector<Array>& batch, double lr) const {
  const Impl& m = *impl_;
  std::vector<Array> out;
  for (const Slot& s : m.slots) out.push_back(s.value.copy());
  for (const Array& a : m.frozen_values) out.push_back(a.copy());
  out.push_back(Array::of(
      std::vector<int64_t>{static_cast<int64_t>(m.options.seed), step_ * m.options.accumulate + m.micro},
      {2}));
  out.push_back(Array::scalar(static_cast<float>(lr < 0 ? learning_rate(m.options.optimizer) : lr)));
  out.push_back(Array::scalar(static_cast<float>(step_ + 1)));
  for (const Array& a : batch) out.push_back(a.copy());
  return out;
}

}  // namespace fovea::nn
