// Recording functions into modules: what trace, grad and control flow are made of. Not for model code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontends/cpp/trace.h"

namespace fovea {

/// A function that was recorded, and the tensors of enclosing traces it used: its last inputs, in this order.
struct Recorded {
  std::string name;
  std::vector<Tensor> captures;
};

/// Records `fn` on arguments of these types as a function of `module`, called `name` or `name.1`, ...
Recorded record(const std::shared_ptr<Module>& module, const Function& fn, const std::vector<Spec>& specs,
                const std::string& name);

/// Gives a recorded function one input for each of `captures`, in this order, whether it used it or not.
void add_captured_inputs(Module& module, Recorded& recorded, const std::vector<Tensor>& captures);

/// InvalidArgument with this message and the line.
[[noreturn]] void invalid_at(Source source, const std::string& message);

/// The types of these tensors, unnamed.
std::vector<Spec> specs_of(const std::vector<Tensor>& args);

/// Calls body(module, args) in the open trace, or in the trace args belong to; where all is concrete, traces
/// it on the types of args, compiles and runs it.
std::vector<Tensor> in_trace(const std::vector<Tensor>& args,
                             const std::function<std::vector<Tensor>(const std::shared_ptr<Module>&,
                                                                     const std::vector<Tensor>&)>& body);

}  // namespace fovea
