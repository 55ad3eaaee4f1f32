// What the graph page colours an op by.
#include <array>
#include <string_view>

#include "frontends/tools/graph_model.h"
#include "graph/ir/op.h"

namespace fovea::tools {
namespace {

struct Kind {
  std::string_view name;
  std::array<std::string_view, 22> ops;  // equal, or with "*" at one end
};

// The first that fits.
constexpr Kind kKinds[] = {
    {"io", {"input", "output"}},
    {"attention", {"*attention*", "attention*"}},
    {"fused", {"fused*", "residual_norm*", "linear_cross_entropy*", "additive_scores*", "*region*"}},
    {"product", {"matmul", "linear", "einsum", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "contract"}},
    {"update", {"*_update", "global_norm", "*_sweep"}},
    {"norm", {"softmax", "log_softmax", "logsumexp", "*_norm", "batch_norm*"}},
    {"random", {"dropout", "uniform", "normal", "bernoulli", "rand_bits"}},
    {"control", {"scan", "while_loop", "cond", "call", "vjp", "custom_vjp", "checkpoint", "*_cell"}},
    {"reduce",
     {"sum",
      "mean",
      "max",
      "min",
      "prod",
      "var",
      "argmax",
      "argmin",
      "any",
      "all",
      "cumsum",
      "cumprod",
      "top_k",
      "sort",
      "cross_entropy",
      "*_loss",
      "binary_cross_entropy_with_logits",
      "kl_div",
      "avg_pool2d",
      "max_pool2d"}},
    {"move",
     {"reshape", "permute",      "broadcast_to", "concat",       "slice",    "gather",   "embedding", "pad",
      "copy",    "unstack",      "one_hot",      "iota",         "full",     "constant", "extent",    "tril",
      "triu",    "*_along_axis", "scatter*",     "cache_update", "identity", "cast"}},
};

bool fits(std::string_view op, std::string_view pattern) {
  if (pattern.empty()) return false;
  const bool before = pattern.front() == '*', behind = pattern.back() == '*';
  const std::string_view part = pattern.substr(before, pattern.size() - before - behind);
  if (before && behind) return op.find(part) != std::string_view::npos;
  if (before) return op.ends_with(part);
  return behind ? op.starts_with(part) : op == part;
}

}  // namespace

std::string kind_of(const std::string& name) {
  std::string_view op = name;
  for (const std::string_view ending : {"_backward", "_gradient"})
    if (op.ends_with(ending)) op.remove_suffix(ending.size());
  for (const Kind& kind : kKinds)
    for (const std::string_view pattern : kind.ops)
      if (fits(op, pattern)) return std::string(kind.name);
  const OpDecl* decl = lookup_op(name);
  return decl && decl->is_view() ? "move" : "pointwise";
}

}  // namespace fovea::tools
