// Model: a module with a loss, an optimiser and a file; fit, evaluate, predict, save, load.
#pragma once

#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "frontends/nn/callbacks.h"
#include "frontends/nn/fit.h"
#include "frontends/nn/metrics.h"
#include "frontends/nn/train_step.h"
#include "optim/update/optimizer.h"

namespace fovea::nn {

/// How a model is to be trained.
struct Recipe {
  Optimizer optimizer = Adam{};
  Loss loss = {};
  std::vector<Measure> metrics = {};
  double clip_norm = 0;  ///< as in TrainOptions, like the next five
  std::vector<ParameterGroup> groups = {};
  int accumulate = 1;
  double ema = 0;  ///< with one, evaluate, predict and save use the average
  DType compute = DType::f32;
  uint64_t seed = 0;  ///< of dropout, and of parameters that have no value yet
  /// Types of the inputs and labels, with symbols for sizes that vary. By default they are those of the data,
  /// with the first axis free.
  std::vector<Spec> inputs = {};
  std::optional<Spec> labels = {};
  std::string backend = "cpu";
  int64_t memory_budget = 0;  ///< of a training step, as in CompileOptions
};

/// What Model::save puts in the file besides graphs and weights.
struct SaveOptions {
  /// The optimiser's state, too, and parameters as trained where there is an average.
  bool training_state = false;
  std::map<std::string, std::string> metadata = {};  ///< any bytes: a tokenizer, class names
};

namespace detail {

// What a forward function is called with: becomes a Tensor or an Arg, with the line where the model was made.
struct Operand {
  const Tensor& tensor;
  Source source;
  operator Tensor() const { return tensor; }            // NOLINT
  operator Arg() const { return Arg(tensor, source); }  // NOLINT
};

[[noreturn]] void wrong_inputs(size_t got, size_t most);

template <class T, size_t>
using Repeat = T;

// Calls forward(in[0], ..., in[n - 1]) if the module has one of so many.
template <class M, size_t... I>
bool call_with(M& forward, const std::vector<Tensor>& in, Source source, Tensor& out,
               std::index_sequence<I...>) {
  if constexpr (std::is_invocable_r_v<Tensor, M&, Repeat<Operand, I>...>) {
    out = forward(Operand{in[I], source}...);
    return true;
  } else if constexpr (std::is_invocable_r_v<Tensor, M&, Repeat<const Tensor&, I>...>) {
    out = forward(in[I]...);
    return true;
  } else {
    return false;
  }
}

template <class M>
Tensor call_forward(M& forward, const std::vector<Tensor>& in, Source source) {
  Tensor out;
  if constexpr (std::is_invocable_r_v<Tensor, M&, const std::vector<Tensor>&>) return forward(in);
  auto attempt = [&]<size_t N>(std::integral_constant<size_t, N>) {
    return in.size() == N && call_with(forward, in, source, out, std::make_index_sequence<N>());
  };
  const bool done = [&]<size_t... N>(std::index_sequence<N...>) {
    return (attempt(std::integral_constant<size_t, N + 1>()) || ...);
  }
  (std::make_index_sequence<8>());
  if (!done) wrong_inputs(in.size(), 8);
  return out;
}

}  // namespace detail

/// A model to train, use and save; or one that was loaded, which needs no C++ class to run.
///   Model model(Translator{config});
///   model.compile({.optimizer = Adam{.lr = 1e-3},
///                  .loss = losses::cross_entropy,
///                  .metrics = {metrics::accuracy}});
///   model.fit(train, {.epochs = 10, .validation = valid});
///   model.save("translator.fovea");
///   Array y = Model::load("translator.fovea").predict(x);
class Model {
 public:
  using Forward = std::function<Tensor(const std::vector<Tensor>& inputs)>;

  /// `module`: has Tensor operator()(inputs...) of one to eight tensors. The model shares its parameters.
  template <std::derived_from<Module> M>
  explicit Model(M module, Source source = Source::here())
      : Model(std::make_shared<M>(std::move(module)), source) {}
  template <std::derived_from<Module> M>
  explicit Model(std::shared_ptr<M> module, Source source = Source::here())
      : Model(module, [module, source](const std::vector<Tensor>& in) {
          return detail::call_forward(*module, in, source);
        }) {}
  /// A module whose forward function is something else than its operator().
  Model(std::shared_ptr<Module> module, Forward forward);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  /// Sets how to train; starts training anew. Parameters keep their values.
  void compile(Recipe recipe);
  /// Trains on batches {inputs..., labels}: `epochs` passes (1 if nothing bounds the run). A second call goes
  /// on with the optimiser's state. Whatever ends it, the module's parameters then hold what was reached.
  History fit(const Dataset& train, FitOptions options = {});
  /// Loss and metrics over the data, weighted by examples, without training's randomness.
  std::vector<Metric> evaluate(const Dataset& data, int64_t batch_size = 64) const;

  /// The module's result without training's randomness. Compiled at first use for any number of rows. Loaded
  /// models may predict from several threads at once.
  Array predict(const std::vector<Array>& inputs) const;
  Array predict(const Array& input) const { return predict(std::vector<Array>{input}); }

  /// A further function that save() puts beside "predict": traced without training over the module's
  /// parameters.
  void add_entry(const std::string& name, Function function, std::vector<Spec> inputs);
  /// Runs an entry of a loaded model, or "predict", which returns one array.
  std::vector<Array> run(const std::string& entry, const std::vector<Array>& inputs) const;
  std::vector<std::string> entries() const;

  /// One file: the graph of "predict" and the other entries, the weights, metadata. Written atomically.
  /// InvalidArgument if the types of the inputs are not known yet (by compile, fit or predict).
  void save(const std::string& path, const SaveOptions& options = {}) const;
  /// Reads what save() or a checkpoint of fit() wrote. Weights are inputs of the graph named "param/…" or
  /// "buffer/…", fed from the file's tensors of these names. Corrupt where one is missing or of another type;
  /// InvalidArgument, listing what there is, for a file without functions.
  static Model load(const std::string& path, bool map = false);
  /// Gives the module the parameters of a file, and fit() the optimiser's state if the file has that.
  /// InvalidArgument, with names and shapes, where they do not fit; then nothing has changed.
  void load_weights(const std::string& path);

  /// InvalidArgument for a loaded model, which has none.
  Module& module() const;
  /// Of a loaded file.
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::nn

namespace fovea {
using nn::Dataset;
using nn::Model;
using nn::Schedule;
namespace losses = nn::losses;
namespace metrics = nn::metrics;
}  // namespace fovea
