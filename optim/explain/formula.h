// Tile programs as formulas for people.
#pragma once

#include <string>

#include "ops/shared/tile/program.h"

namespace fovea {

/// The program's first result in the usual notation: "where(i >= j, 0.125*s, -inf)". Operand 0 is s (or x0
/// where `scores` is false), operand n is xn; j counts along the last axis, i along the one before. What is
/// used twice and is long gets a name: "t1 / (1 + t1), t1 = exp(...)".
std::string formula(const tiles::Program& program, bool scores = true);

}  // namespace fovea
