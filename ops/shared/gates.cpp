#include "ops/shared/gates.h"

#include "ops/core/slice/slice.h"

namespace fovea {

void check_gates(InferContext& c, size_t i, size_t state, int64_t parts) {
  c.same_dtype(state, i);
  const std::string &name = c.op.inputs()[i].name, &other = c.op.inputs()[state].name;
  if (c.rank(state) < 1) c.fail(other + " has rank 0, it needs a feature axis");
  if (c.rank(i) != c.rank(state))
    c.fail(name + " has rank " + std::to_string(c.rank(i)) + ", " + other + " has " +
           std::to_string(c.rank(state)));
  for (int64_t d = 0; d < c.rank(i); ++d) {
    const bool last = d == c.rank(i) - 1;
    c.same(c.shape(i)[d], last ? parts * c.shape(state)[d] : c.shape(state)[d],
           "axis " + std::to_string(d) + " of " + name + " is {a}, " + other + " asks for {b}");
  }
}

Tensor gate(const Tensor& gates, int64_t index, const Dim& width) {
  return slice(gates, -1, index * width, (index + 1) * width);
}

void check_cell_weight(InferContext& c, size_t x, size_t weight, size_t state, int64_t parts) {
  c.same_dtype(x, weight);
  const std::string &name = c.op.inputs()[weight].name, &other = c.op.inputs()[x].name;
  if (c.rank(weight) != 2) c.fail(name + " must have rank 2, got " + std::to_string(c.rank(weight)));
  if (c.rank(x) < 1) c.fail(other + " has rank 0, it needs a feature axis");
  c.same(c.shape(weight)[0], parts * c.shape(state).back(),
         name + " has {a} rows, " + std::to_string(parts) + " gates of this state are {b}");
  c.same(c.shape(weight)[1], c.shape(x).back(), name + " has {a} columns, " + other + " has {b} features");
}

void check_cell_bias(InferContext& c, size_t bias, size_t state, int64_t parts) {
  c.same_dtype(state, bias);
  const std::string& name = c.op.inputs()[bias].name;
  if (c.rank(bias) != 1) c.fail(name + " must have rank 1, got " + std::to_string(c.rank(bias)));
  c.same(c.shape(bias)[0], parts * c.shape(state).back(),
         name + " has {a} elements, " + std::to_string(parts) + " gates of this state are {b}");
}

}  // namespace fovea
