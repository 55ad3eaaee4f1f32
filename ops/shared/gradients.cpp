#include "ops/shared/gradients.h"

#include "ops/core/sum/sum.h"

namespace fovea {

Tensor reduce_to(const Tensor& g, const Tensor& like) {
  const Shape from = g.shape(), to = like.shape();
  if (from.size() < to.size())
    invalid("reduce_to: a gradient of shape " + to_string(from) + " for an operand of shape " +
            to_string(to));
  const size_t lead = from.size() - to.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < from.size(); ++i)
    if (i < lead || (to[i - lead] == Dim(1) && !(from[i] == Dim(1)))) axes.push_back(static_cast<int64_t>(i));
  if (axes.empty()) return g;
  // Without leading axes the sizes of 1 stay in place, and without others nothing is left to put back.
  if (lead == 0) return sum(g, axes, true);
  const Tensor reduced = sum(g, axes);
  return axes.size() == lead ? reduced : reduced.reshape(to);
}

}  // namespace fovea
