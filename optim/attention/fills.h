// Numbers that stand for masked scores.
#pragma once

#include "optim/attention/expression.h"
#include "optim/attention/view.h"

namespace fovea::match {

/// True where masked scores become a finite number that leaves others behind. What reads a tensor of `keys`
/// may do so, too.
bool may_fall_low(const Expressions& e, const LabelTable& table, int32_t score, const Labels& keys);

/// True where something in x is as large as a fill.
bool holds_fill(const View& view, const Expressions& e, int32_t x);

/// True where some fills stand in the place of scores and others are added to them.
bool mixes_fills(const View& view, const Expressions& e, int32_t score);

/// True where a constant is minus infinity.
bool has_infinite_fill(const Expressions& e, int32_t score);

/// True where a constant is NaN.
bool holds_no_number(const Expressions& e, const std::vector<int32_t>& results);

/// False where numbers that are one in f32 are several in f64.
bool fills_stay_equal(const Expressions& e, int32_t score);

/// Fills that were multiplied out may leave the range of f32; beside another one as large they would become
/// equal, where the user's operations subtract the maximum first or overflow to minus infinity. False where
/// that may happen. `shifted`: something is subtracted from the scores.
bool fills_stay_apart(const View& view, const Expressions& e, int32_t score, bool shifted);

/// True where a mask of minus infinity is multiplied by an index, which may be 0: no number.
bool multiplies_infinity(const Expressions& e, int32_t score);

}  // namespace fovea::match
