#include "frontends/nn/model.h"

#include <unistd.h>

#include <algorithm>

#include "framework/base/error.h"
#include "frontends/nn/model_internal.h"

namespace fovea::nn {
namespace {

constexpr const char* kPredict = "predict";
constexpr size_t kMaxPrograms = 64;  // of predict, for inputs of different types

// f32[B, 3, 8]: the type of an array, with the first axis free.
Spec free_rows(const Array& a, std::string name) {
  Shape shape = to_shape(a.shape());
  if (!shape.empty()) shape[0] = sym("B");
  return Spec(a.dtype(), shape, std::move(name));
}

std::vector<Spec> specs_for(std::span<const Array> inputs) {
  std::vector<Spec> out;
  for (size_t i = 0; i < inputs.size(); ++i)
    out.push_back(free_rows(inputs[i], inputs.size() == 1 ? "input" : "input" + std::to_string(i)));
  return out;
}

std::string key_of(const std::vector<Spec>& specs) {
  std::string key;
  for (const Spec& s : specs) key += to_string(s.type) + ";";
  return key;
}

// The arguments of an entry: weights by name, the others in order from `inputs`.
template <class Lookup>
std::vector<Array> arguments(const Graph& graph, const std::string& entry, const std::vector<Array>& inputs,
                             Lookup&& weight) {
  std::vector<std::string> names;
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    if (!is_weight(graph.input_name(i))) names.push_back(graph.input_name(i));
  if (names.size() != inputs.size())
    invalid("the model's '" + entry + "' takes " + std::to_string(names.size()) + " inputs (" +
            quoted_list(names) + "), got " + std::to_string(inputs.size()));
  std::vector<Array> out;
  size_t next = 0;
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    out.push_back(is_weight(graph.input_name(i)) ? weight(graph.input_name(i)) : inputs[next++]);
  return out;
}

}  // namespace

std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& n : names) text += (text.empty() ? "'" : ", '") + n + "'";
  return text.empty() ? "none" : text;
}

void detail::wrong_inputs(size_t got, size_t most) {
  invalid("the module has no operator() of " + std::to_string(got) +
          " tensors that returns a Tensor (of 1 to " + std::to_string(most) + " that it could have)");
}

void Model::Impl::require_class(const char* what) const {
  if (!module)
    invalid(std::string(what) +
            ": a loaded model has no module to train; construct the Model from its class and call "
            "load_weights()");
}

void Model::Impl::require_compiled(const char* what) const {
  require_class(what);
  if (!compiled)
    invalid(std::string(what) + ": the model has no loss yet; call compile({.loss = ...}) first");
}

CompileOptions Model::Impl::compile_options() const {
  CompileOptions options;
  options.backend = recipe.backend;
  return options;
}

Array Model::Impl::weight(const std::string& name) const {
  if (!module) return weights.at(name);
  return parameters.at(name).value().contiguous();
}

std::vector<Spec> Model::Impl::with_weights(const std::vector<Spec>& data) const {
  std::vector<Spec> out;
  for (const NamedParameter& p : module->parameters())
    out.emplace_back(p.parameter.dtype(), to_shape(p.parameter.shape()), weight_name(p));
  for (size_t i = 0; i < data.size(); ++i) {
    out.push_back(data[i]);
    if (is_weight(data[i].name))
      invalid("an input may not be named '" + data[i].name + "': such names are those of weights");
  }
  return out;
}

// (weights, data) -> fn(data) with the module's parameters bound, as function `name` of `into`.
void Model::Impl::trace_entry(const std::shared_ptr<fovea::Module>& into, const std::string& name,
                              const Function& fn, const std::vector<Spec>& data) const {
  const std::vector<NamedParameter> named = module->parameters();
  trace_into(
      into,
      [&](const std::vector<Tensor>& in) {
        Scope scope(/*training=*/false);
        for (size_t i = 0; i < named.size(); ++i) scope.bind(named[i].parameter, in[i]);
        return fn(std::vector<Tensor>(in.begin() + static_cast<std::ptrdiff_t>(named.size()), in.end()));
      },
      with_weights(data), name);
}

Function Model::Impl::predict_function() const {
  return [this](const std::vector<Tensor>& in) { return std::vector<Tensor>{forward(in)}; };
}

// {inputs..., labels} -> {loss, [its weight], total, count of each metric}.
std::vector<Tensor> Model::Impl::measures(const std::vector<Tensor>& batch) const {
  const Tensor labels = batch.back();
  const Tensor prediction = forward(std::vector<Tensor>(batch.begin(), batch.end() - 1));
  std::vector<Tensor> out{recipe.loss.mean(prediction, labels)};
  if (recipe.loss.count) out.push_back(recipe.loss.count(prediction, labels));
  for (const Measure& m : recipe.metrics) {
    const Sum s = m.sum(prediction, labels);
    out.push_back(s.total);
    out.push_back(s.count);
  }
  return out;
}

std::vector<Column> Model::Impl::columns() const {
  std::vector<Column> out{{.name = "loss", .value = 0, .weight = recipe.loss.count ? 1 : -1}};
  int at = recipe.loss.count ? 2 : 1;
  for (const Measure& m : recipe.metrics) {
    out.push_back(
        {.name = m.name, .value = at, .weight = at + 1, .is_sum = true, .exponential = m.exponential});
    at += 2;
  }
  return out;
}

// The types of {inputs..., labels}: as declared, else as the data has them.
std::vector<Spec> Model::Impl::batch_specs(const Dataset& data) {
  std::vector<Spec> out = recipe.inputs;
  if (out.empty() || !recipe.labels) {
    const Batch example = data.example();
    if (example.size() < 2)
      invalid("a batch needs inputs and labels, got " + std::to_string(example.size()) + " arrays");
    if (out.empty()) out = specs_for(std::span(example).first(example.size() - 1));
    if (out.size() + 1 != example.size())
      invalid("the model has " + std::to_string(out.size()) + " declared inputs, the data's batches have " +
              std::to_string(example.size() - 1) + " and labels");
    out.push_back(recipe.labels.value_or(free_rows(example.back(), "labels")));
  } else {
    out.push_back(*recipe.labels);
  }
  inputs.assign(out.begin(), out.end() - 1);
  labels = out.back();
  return out;
}

void Model::Impl::make_step(const Dataset& data) {
  if (step) return;
  TrainOptions options;
  options.optimizer = recipe.optimizer;
  options.groups = recipe.groups;
  options.clip_norm = recipe.clip_norm;
  options.accumulate = recipe.accumulate;
  options.ema = recipe.ema;
  options.compute = recipe.compute;
  options.seed = recipe.seed;
  options.compile = compile_options();
  options.compile.memory_budget = recipe.memory_budget;
  step = std::make_unique<TrainStep>(
      *module, [this](const std::vector<Tensor>& batch) { return measures(batch); }, batch_specs(data),
      options);
  if (pending.empty()) return;
  step->load_state(pending);
  pending.clear();
}

std::shared_ptr<Program> Model::Impl::program(const std::string& name, const Function& fn,
                                              const std::vector<Spec>& data) {
  const std::string key = name + ":" + key_of(data);
  const std::lock_guard lock(mutex);
  if (programs.size() >= kMaxPrograms && !programs.contains(key)) programs.clear();
  std::shared_ptr<Program>& slot = programs[key];
  if (!slot) {
    auto traced = std::make_shared<fovea::Module>();
    trace_entry(traced, name, fn, data);
    slot = std::make_shared<Program>(traced, name, compile_options());
  }
  return slot;
}

std::shared_ptr<fovea::Module> Model::Impl::all_entries() {
  if (inputs.empty())
    invalid(
        "the types of the model's inputs are not known: fit() or predict() once, or name them in "
        "compile({.inputs = ...})");
  auto out = std::make_shared<fovea::Module>();
  trace_entry(out, kPredict, predict_function(), inputs);
  for (const Entry& e : added) trace_entry(out, e.name, e.function, e.inputs);
  return out;
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(std::shared_ptr<Module> module, Forward forward) : impl_(std::make_unique<Impl>()) {
  if (!module || !forward) invalid("a model needs a module and a forward function");
  for (const NamedParameter& p : module->parameters()) impl_->parameters.emplace(weight_name(p), p.parameter);
  impl_->module = std::move(module);
  impl_->forward = std::move(forward);
}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

void Model::compile(Recipe recipe) {
  Impl& m = *impl_;
  m.require_class("compile");
  if (!recipe.loss.mean) invalid("compile: there is no loss");
  for (const Measure& metric : recipe.metrics)
    if (metric.name.empty() || !metric.sum) invalid("compile: a metric has no name or no function");
  m.module->initialise(recipe.seed, /*only_missing=*/true);
  m.recipe = std::move(recipe);
  m.inputs = m.recipe.inputs;
  m.labels = m.recipe.labels;
  m.compiled = true;
  m.step.reset();
  m.programs.clear();
}

History Model::fit(const Dataset& train, FitOptions options) {
  Impl& m = *impl_;
  m.require_compiled("fit");
  m.make_step(train);
  if (options.epochs == 0 && options.max_steps == 0 && options.minutes == 0) options.epochs = 1;
  const bool resumes = options.resume && ::access(options.checkpoint.c_str(), F_OK) == 0;
  if (!options.schedule && !resumes) options.schedule = Schedule::constant(learning_rate(m.recipe.optimizer));
  const bool average = m.recipe.ema > 0;
  if (options.validation.defined())
    options.validate = [&, batch_size = options.batch_size, data = options.validation] {
      m.step->publish(average);
      return evaluate(data, batch_size);
    };
  if (options.total_items == 0 && options.max_steps == 0 && !options.items)
    options.total_items = options.epochs * train.size();
  if (!options.checkpoint.empty() && !options.checkpoint_module) {
    options.checkpoint_module = m.all_entries();
    for (const auto& [name, p] : m.parameters)  // those that training does not touch
      if (!p.is_buffer() && !p.trainable()) options.checkpoint_tensors.emplace(name, p.value());
  }
  BatchLoader loader(train.batches({options.batch_size, options.shuffle, options.drop_last}),
                     {.seed = static_cast<int64_t>(options.seed)});
  struct Publish {
    TrainStep& step;
    bool average;
    ~Publish() { step.publish(average); }
  } publish{*m.step, average};
  return TrainingLoop(*m.step, loader, std::move(options), m.columns()).run();
}

std::vector<Metric> Model::evaluate(const Dataset& data, int64_t batch_size) const {
  Impl& m = *impl_;
  m.require_compiled("evaluate");
  const Function fn = [&m](const std::vector<Tensor>& batch) { return m.measures(batch); };
  const auto program = m.program("evaluate", fn, m.batch_specs(data));
  const auto source = data.batches({.batch_size = batch_size, .shuffle = false});
  Means means(m.columns());
  const int64_t count = source->begin_epoch(0, 0);
  for (int64_t i = 0; i < count; ++i) {
    const Batch batch = source->make(i);
    const auto weight = [&m](const std::string& name) { return m.weight(name); };
    std::vector<double> results;
    for (const Array& a : program->run(arguments(program->graph(), "evaluate", batch, weight)))
      results.push_back(a.item());
    means.add(results, batch[0].rank() < 1 ? 1 : static_cast<double>(batch[0].dim(0)));
  }
  return means.values();
}

Array Model::predict(const std::vector<Array>& inputs) const { return run(kPredict, inputs).at(0); }

void Model::add_entry(const std::string& name, Function function, std::vector<Spec> inputs) {
  impl_->require_class("add_entry");
  if (name.empty() || name == kPredict) invalid("add_entry: '" + name + "' cannot name an entry");
  for (const Impl::Entry& e : impl_->added)
    if (e.name == name) invalid("add_entry: there is an entry '" + name + "' already");
  impl_->added.push_back({name, std::move(function), std::move(inputs)});
}

std::vector<std::string> Model::entries() const {
  std::vector<std::string> out;
  if (impl_->module) {
    out.emplace_back(kPredict);
    for (const Impl::Entry& e : impl_->added) out.push_back(e.name);
  } else {
    for (const auto& [name, graph] : impl_->graphs->functions) out.push_back(name);
  }
  return out;
}

std::vector<Array> Model::run(const std::string& entry, const std::vector<Array>& inputs) const {
  Impl& m = *impl_;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inputs[i].defined())
      invalid("the model's '" + entry + "': input " + std::to_string(i) + " is undefined");
  std::shared_ptr<Program> program;
  if (m.module) {
    if (!m.compiled) m.module->initialise(m.recipe.seed, /*only_missing=*/true);
    const auto added =
        std::find_if(m.added.begin(), m.added.end(), [&](const Impl::Entry& e) { return e.name == entry; });
    if (added != m.added.end()) {
      program = m.program(entry, added->function, added->inputs);
    } else if (entry == kPredict) {
      const std::vector<Spec> specs = m.recipe.inputs.empty() ? specs_for(inputs) : m.recipe.inputs;
      program = m.program(kPredict, m.predict_function(), specs);
      if (m.inputs.empty()) m.inputs = specs;
    }
  } else if (m.graphs->functions.contains(entry)) {
    const std::lock_guard lock(m.mutex);
    std::shared_ptr<Program>& slot = m.programs[entry];
    if (!slot) slot = std::make_shared<Program>(m.graphs, entry, m.compile_options());
    program = slot;
  }
  if (!program) invalid("the model has no entry '" + entry + "'; it has " + quoted_list(entries()));
  return program->run(
      arguments(program->graph(), entry, inputs, [&m](const std::string& name) { return m.weight(name); }));
}

Module& Model::module() const {
  impl_->require_class("module");
  return *impl_->module;
}

const std::map<std::string, std::string>& Model::metadata() const { return impl_->metadata; }

}  // namespace fovea::nn
