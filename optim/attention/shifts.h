// What is subtracted from the scores of a row: reductions, and whether masks hide in them.
#pragma once

#include <vector>

#include "optim/attention/constants.h"
#include "optim/attention/view.h"

namespace fovea::match {

/// A reduction (max, min, mean, sum, log-sum-exp) with its operand, read by fresh labels where it reduces.
struct Reduced {
  NodeId node = -1;
  Ref of;
  Labels over;
};
/// The reductions that `ref` is made of, through elementwise operations and views. Sums of products are none.
std::vector<Reduced> reductions_of(const View& view, LabelTable& table, const Ref& ref);
/// The reduction that `ref` is, behind views and casts; node -1 where it is none.
Reduced reduction_at(const View& view, LabelTable& table, Ref ref);

/// True where `a`, reduced over labels `over`, is what `b` reads in the same row for all its keys: the axes
/// that b reads by its keys are reduced, all others are reduced or read by the same labels.
bool covers_row(const LabelTable& table, const Ref& a, const Labels& over, const Ref& b, const Labels& keys);

/// True where a reduction reads what may be a mask: fills, logarithms, tensors that are added. `infinite`:
/// only masks of minus infinity count. A maximum over the row's own `scores` among others holds none.
bool reads_masked(const View& view, LabelTable& table, ConstantForms& forms, const Reduced& reduced,
                  const Ref& scores, const Labels& keys, bool infinite);

}  // namespace fovea::match
