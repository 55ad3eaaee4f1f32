// Whether what is subtracted from the scores of a row may be left out.
#pragma once

#include "optim/attention/match.h"

namespace fovea::match {

/// What is free of the keys cancels, but where it is so large that the scores are lost beside it, or is no
/// number, which a guard behind it hides. False with the reason where that may be. `as_read`: the score
/// before products were chosen.
bool keeps_shifts(Region& region, const Probability& p, const Labels& keys, int32_t as_read, Refusal& why);

}  // namespace fovea::match
