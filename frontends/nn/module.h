// Modules: trees of named parameters with a forward function.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea::nn {

/// Fills a new parameter: values from a 64-bit seed that differs for every parameter. See init.h.
using Initialiser = std::function<Array(DType, const Dims&, uint64_t seed)>;

/// A tensor that a module owns: trained (a weight) or carried along (a running mean). Copies are handles to
/// the same one. Inside a traced function it stands for the function's input of that name.
class Parameter {
 public:
  Parameter() = default;
  Parameter(Dims shape, Initialiser init, bool trainable = true, DType dtype = DType::f32);

  bool defined() const { return state_ != nullptr; }
  const Dims& shape() const;
  DType dtype() const;
  /// Not frozen, and not a buffer.
  bool trainable() const;
  bool is_buffer() const;
  /// Freezing: a frozen parameter gets no gradient and no update.
  void set_trainable(bool trainable);

  /// The concrete value, made by the initialiser at first use.
  const Array& value() const;
  /// Replaces the concrete value; shape and type must be the same.
  void set_value(Array value);
  /// The value as model code sees it: the traced input while a function is traced over the parameters.
  Tensor tensor() const;
  operator Tensor() const { return tensor(); }    // NOLINT: a parameter is a tensor to model code
  operator Arg() const { return Arg(tensor()); }  // NOLINT

  /// For buffers: the value from the next step on (running statistics, caches).
  void update(const Tensor& next) const;

  struct State;
  State* id() const { return state_.get(); }

 private:
  friend class Module;
  std::shared_ptr<State> state_;
};

/// A parameter and its path in the tree, "encoder.0.attention.q.weight".
struct NamedParameter {
  std::string name;
  Parameter parameter;
};

/// Base of all modules. A derived class owns its layers and parameters as members and names them in its
/// constructor:
///   struct Mlp : nn::Module {
///     nn::Linear up, down;
///     Mlp(int64_t d) : up(d, 4 * d), down(4 * d, d) { add("up", up); add("down", down); }
///     Tensor operator()(const Arg& x) const { return down(gelu(up(x))); }
///   };
/// Copies of a module share its parameters.
class Module {
 public:
  Module();
  virtual ~Module() = default;

  /// All parameters and buffers in the order of their registration, depth first.
  std::vector<NamedParameter> parameters() const;
  /// The parameter of that path; InvalidArgument with the nearest names.
  Parameter parameter(const std::string& path) const;
  /// Number of trainable elements.
  int64_t parameter_count() const;
  /// Makes all values anew from `seed`; equal seeds give equal values. `only_missing`: leaves those that have
  /// one.
  void initialise(uint64_t seed, bool only_missing = false);
  /// Freezes or thaws everything below this module.
  void set_trainable(bool trainable);
  /// Path of this module in the tree it was added to ("" for a root); what NameScope shows.
  const std::string& name() const;

 protected:
  /// Names a child; its parameters become "name.…". A name may be used once.
  void add(const std::string& name, const Module& child);
  void add(const std::string& name, const Parameter& parameter);

 private:
  struct Tree;
  std::shared_ptr<Tree> tree_;
};

/// What surrounds a traced forward pass: inputs that stand for parameters, new values of buffers, the flag
/// for training and the random key.
class Scope {
 public:
  /// `training`: dropout drops, batch norm uses the batch. `key`: i64[2] (seed, step), needed where something
  /// is random.
  explicit Scope(bool training, Tensor key = {});
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  /// From now on `parameter` reads as `value`.
  void bind(const Parameter& parameter, const Tensor& value);
  /// The newest value of a buffer: what update() set, else what it was bound to.
  Tensor current(const Parameter& parameter) const;

  /// The innermost scope of this thread, or nullptr.
  static Scope* active();

 private:
  friend class Parameter;
  friend bool training();
  friend Tensor random_key();
  bool training_;
  Tensor key_;
  std::vector<std::pair<Parameter::State*, Tensor>> values_;
  Scope* outer_;
};

/// True inside a training scope.
bool training();
/// The random key of the scope; InvalidArgument where there is none.
Tensor random_key();

}  // namespace fovea::nn
