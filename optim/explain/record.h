// What the compiler did and why: one record a candidate.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "framework/base/source.h"
#include "graph/ir/graph.h"

namespace fovea {

/// Why a candidate was refused. The names are an interface: text, JSON and documentation use them.
enum class Reason {
  none,           ///< fused
  axis,           ///< AXIS: softmax and contraction do not run over the same tokens
  escape_p,       ///< ESCAPE_P: the weights are used elsewhere in a way that cannot be recomputed
  escape_s,       ///< ESCAPE_S: the scores are
  non_pointwise,  ///< NON_POINTWISE(op): an op between the products is not elementwise
  reduces_j,      ///< REDUCES_J: a reduction or gather along the keys inside the score
  head_mix,       ///< HEAD_MIX: heads are mixed
  denominator,    ///< DENOMINATOR: what divides is not the sum over the keys
  empty_row,      ///< EMPTY_ROW: rows without keys cannot be reproduced
  dtype,          ///< DTYPE: element types no kernel takes
  backend,        ///< BACKEND(sentence): the backend refused
  cost,           ///< COST: fusing would be slower
};

/// One candidate for fusion.
struct FusionRecord {
  std::string region = "attention";  ///< "attention", "map", "residual_norm", "linear_cross_entropy", ...
  bool fused = false;
  Reason reason = Reason::none;
  std::string detail;    ///< the op of NON_POINTWISE, the backend's sentence
  std::string sentence;  ///< one sentence for people
  std::string nearest;   ///< for refusals: the nearest form that would be accepted
  std::string function;  ///< the function of the module
  std::string node;      ///< "softmax#17": op and number of the node that decided
  std::string scope;     ///< "encoder.0.attention"
  Source source;         ///< the user's line that made it
  std::string score;     ///< the normal form: scale, mask, sink, guard, ... in words
  std::string saves;     ///< bytes at stake as an expression of the sizes: "4*B*H*L*L"
};

/// "NON_POINTWISE(layer_norm)", "AXIS"; "" for none.
std::string code_of(const FusionRecord& record);

}  // namespace fovea
