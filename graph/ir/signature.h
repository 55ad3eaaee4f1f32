// Type checks for ops that name functions of their module.
#pragma once

#include "graph/ir/op.h"

namespace fovea {

/// The function that attribute `attr` names; an error where the module lacks it.
const Graph& called_function(InferContext& c, std::string_view attr);

/// The same where all operands are its arguments; checks their number and types.
const Graph& called_with_operands(InferContext& c, std::string_view attr);

/// Operands [first, first + count) must have the declared types of the function's inputs from `at` on.
void check_arguments(InferContext& c, const Graph& function, size_t at, size_t first, size_t count);

/// Types of a function's outputs.
std::vector<TensorType> result_types(const Graph& function);

}  // namespace fovea
