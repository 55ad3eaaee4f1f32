// How much arithmetic a graph asks for.
#pragma once

#include "graph/ir/graph.h"

namespace fovea::nn {

/// Floating-point operations of one node, an addition and a multiplication counted as one each. Contractions
/// by their formula (2 m n k), elementwise ops one an element, reductions one an element read, other ops as
/// their decomposition says; moving data is free, a scan counts its body once a step, a loop of unknown
/// length once. `sizes`: values of the symbols in the shapes; InvalidArgument where one is missing.
int64_t flops(const fovea::Module& module, const Graph& graph, const Node& node, const Bindings& sizes);
/// The sum over all nodes of a function.
int64_t flops(const fovea::Module& module, const Graph& graph, const Bindings& sizes);

/// The same for matrix multiplications, convolutions and the products of attention alone, which is what the
/// work of a model is commonly measured by; masked scores count like all others.
int64_t contraction_flops(const fovea::Module& module, const Graph& graph, const Bindings& sizes);

}  // namespace fovea::nn
