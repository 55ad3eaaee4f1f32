#pragma once

#include <string>
#include <vector>

#include "graph/build/tensor.h"

namespace fovea {

/// Einstein sums as in NumPy: einsum("bhqd,bhkd->bhqk", {q, k}). Letters name axes; those that the result
/// leaves out are summed over. Without "->" the result has the letters that occur once, in order. "..."
/// stands for any number of leading axes, which broadcast. A letter may stand only once in an operand.
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands,
              Source source = Source::here());

}  // namespace fovea
