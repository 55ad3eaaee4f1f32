// The one node that a region of pointwise ops becomes. Model authors write plain operations; the compiler
// makes this node (optim/passes/regions.h).
#pragma once

#include <string>
#include <vector>

#include "graph/build/tensor.h"
#include "ops/shared/tile/program.h"

namespace fovea {

/// What becomes of one result of a fused map. The axes of the space are [outer..., rows..., columns...].
enum class MapResult {
  map,        ///< every element: the shape of the space
  sum_last,   ///< summed over the columns: [outer..., rows...]
  max_last,   ///< largest of the columns (NaN wins)
  min_last,   ///< smallest of the columns (NaN wins)
  sum_first,  ///< summed over the rows: [outer..., columns...]
};

/// A program over all elements of a space, and what becomes of its results.
struct MapSpec {
  tiles::Program program;
  Shape space;
  std::vector<DType> types;        ///< of the results; empty: the computing type, i64 and bool by their kinds
  std::vector<MapResult> results;  ///< empty: all `map`. Only real results are reduced.
  int64_t columns = 1;             ///< axes that count as columns, the last ones
  int64_t outer = 0;               ///< axes that sum_first keeps besides the columns, the first ones

  /// "map sum_last", as the attribute `results` is written.
  std::string results_text() const;
  bool reduces() const;
};

/// Adds the node "fused_map". Inputs broadcast to the space as in NumPy; keys of random are i64 [2]. Computed
/// in f64 where an input read as a real number or a result is f64, else in f32.
std::vector<Tensor> fused_map(const std::vector<Tensor>& inputs, const MapSpec& spec,
                              Source source = Source::here());

/// The attributes of a node with this specification, and back (shapes may be lists of integers; `types` is
/// filled in for operands of these types).
Attrs map_attrs(const MapSpec& spec);
MapSpec map_spec(const Attrs& attrs, const std::vector<DType>& inputs);
/// The type it computes in.
DType map_compute(const MapSpec& spec, const std::vector<DType>& inputs);

}  // namespace fovea
