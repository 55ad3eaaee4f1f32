// What loss ops share: the reduction of element losses, and picking the entries that labels name.
#pragma once

#include <string>

#include "graph/build/tensor.h"
#include "graph/ir/op.h"

namespace fovea {

/// Attribute "reduction" is mean, sum or none, or an error.
void check_reduction(const InferContext& c);
/// Infer of element losses of two operands of one shape and type: that type, [] unless reduction is none.
void infer_element_loss(InferContext& c);
/// The mean or sum over all elements, or x itself.
Tensor reduce_loss(const Tensor& x, const std::string& reduction);

/// Labels of rows [..., V]: which count, and the labels with 0 in place of the others. A label outside [0, V)
/// is an error when this runs.
struct Labels {
  Labels(const Tensor& labels, const Dim& classes, int64_t ignore_index);
  Tensor counts;  ///< bool
  Tensor safe;
};
/// Labels [...] as bool [..., V]: true at the label.
Tensor one_true(const Labels& labels, const Shape& shape);
/// x[..., label] for each row of x.
Tensor at_labels(const Tensor& x, const Labels& labels);
/// The losses of rows under a reduction: sum and mean leave out rows that do not count.
Tensor reduce_row_losses(const Tensor& losses, const Labels& labels, const std::string& reduction);
/// Checks labels (operand `i`) against rows of operand 0 and gives the shape of the loss.
Shape infer_label_loss(InferContext& c, size_t i);

}  // namespace fovea
