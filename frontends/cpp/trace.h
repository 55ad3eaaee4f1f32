// Functions as values: trace, compile, grad. A function is plain C++ code on Tensors; what it does is
// recorded once and transformed as a graph.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/build/tensor.h"
#include "optim/lower/program.h"

namespace fovea {

/// A function of tensors. It must not depend on anything but its arguments and constants, since it may run
/// once or often.
using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

/// Declared type of an argument: f32 [B, 4]. Dims that are text are symbols or expressions over them.
struct Spec {
  TensorType type;
  std::string name;
  Spec(DType dtype, Shape shape, std::string name = "")
      : type{dtype, std::move(shape)}, name(std::move(name)) {}
};
/// A symbol: sym("B").
inline Dim sym(std::string_view name) { return Dim::symbol(name); }

/// Records `fn` on arguments of these types as function `name` of a new module.
/// Errors of ops name the op, its operands and the line of `fn` that called it.
std::shared_ptr<Module> trace(const Function& fn, const std::vector<Spec>& args,
                              const std::string& name = "main");
/// The same into an existing module; returns the name it was given.
std::string trace_into(const std::shared_ptr<Module>& module, const Function& fn,
                       const std::vector<Spec>& args, const std::string& name);

// What follows makes functions out of functions. Errors that are not of an op inside `fn` name the line where
// that was done.

/// `fn`, traced at first use for each set of argument types and run as one plan from then on.
Function compile(Function fn, CompileOptions options = {}, Source source = Source::here());

/// (outputs of fn, gradients): fn must return a scalar first; further outputs pass through. `wrt`: positions
/// of the arguments to differentiate by. The result is again a function of tensors: it can be traced,
/// compiled and differentiated.
Function value_and_grad(Function fn, std::vector<int64_t> wrt = {0}, Source source = Source::here());
/// Only the gradients.
Function grad(Function fn, std::vector<int64_t> wrt = {0}, Source source = Source::here());

/// `fn` whose intermediate values are recomputed in the backward pass instead of being kept.
Function checkpoint(Function fn, Source source = Source::here());

/// `fn` with a gradient of the user's own: backward(args..., results..., cotangents...) returns one gradient
/// an argument.
Function custom_gradient(Function fn, Function backward, Source source = Source::here());

}  // namespace fovea
