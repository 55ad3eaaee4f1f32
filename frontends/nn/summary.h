// A table of what a model consists of.
#pragma once

#include <string>
#include <vector>

#include "frontends/cpp/trace.h"
#include "frontends/nn/module.h"

namespace fovea::nn {

/// One module of a summary.
struct SummaryRow {
  std::string path;        ///< of the module, "" for the whole model; everything below it is included
  std::string output;      ///< type of its last result, "f32[B, 128]"
  int64_t parameters = 0;  ///< trainable elements
  int64_t flops = 0;       ///< of one forward pass
  int64_t bytes = 0;       ///< of all results made inside, as if nothing were fused
};

/// Shapes, parameters, FLOPs and bytes by module.
struct Summary {
  std::vector<SummaryRow> rows;  ///< the whole model first, then its modules in the order they run
  std::string str() const;
};

/// What `forward` does with arguments of these types, by the modules it calls. `sizes` gives numbers to the
/// symbols in the shapes: {{"B", 32}}.
///   summary(model, [&](auto& in) { return std::vector{model(in[0])}; }, {{DType::i64, {sym("B"), 256}}},
///   {{"B", 8}})
Summary summary(const Module& model, const Function& forward, const std::vector<Spec>& args,
                const Bindings& sizes = {});

}  // namespace fovea::nn
