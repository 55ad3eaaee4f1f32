#include "ops/shared/functions.h"

namespace fovea {

Tensors function_gradient(const GradArgs& a, const std::string& function) {
  // What the function computes again must not be merged with what it computed before: keeping that is what
  // checkpointing avoids.
  Tensors args;
  for (const Tensor& x : a.in) args.push_back(apply1("identity", {x}, {{"barrier", true}}));
  Ints seeds, wrt;
  for (size_t i = 0; i < a.grad.size(); ++i)
    if (a.grad[i].defined()) {
      seeds.push_back(static_cast<int64_t>(i));
      args.push_back(a.grad[i]);
    }
  for (size_t i = 0; i < a.in.size(); ++i)
    if (a.needs[i]) wrt.push_back(static_cast<int64_t>(i));
  const Tensors out =
      apply("vjp", args, {{"function", FunctionRef{function}}, {"wrt", wrt}, {"seeds", seeds}});
  Tensors grads(a.in.size());
  for (size_t i = 0; i < wrt.size(); ++i) grads[wrt[i]] = out[a.out.size() + i];
  return grads;
}

}  // namespace fovea
