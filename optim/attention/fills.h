// Numbers that stand for masked scores.
#pragma once

#include "optim/attention/expression.h"

namespace fovea::match {

/// True where masked scores become a finite number that leaves others behind.
bool has_low_fill(const Expressions& e, int32_t score);

/// Fills that were multiplied out may leave the range of f32; beside another one as large they would become
/// equal, where the user's operations subtract the maximum first or overflow to minus infinity. False where
/// that may happen. `shifted`: something is subtracted from the scores.
bool fills_stay_apart(const Expressions& e, int32_t score, bool shifted);

}  // namespace fovea::match
