// Where the operands and results of residual_norm and its backward pass are.
#pragma once

#include <cstddef>

#include "framework/tensor/attrs.h"

namespace fovea::residual {

/// What the attributes say.
struct Form {
  explicit Form(const Attrs& attrs) : centred(attrs.text("norm") == "layer"), p(attrs.number("p")) {}
  bool drops() const { return p > 0; }
  bool centred;  ///< layer norm
  double p;
};

/// Operands x, branch, [gamma, [beta]], [key]. An index is -1 where there is no such operand.
struct Operands {
  Operands(const Form& form, size_t count) {
    int next = 2, rest = static_cast<int>(count) - (form.drops() ? 3 : 2);
    if (rest > 0) gamma = next++, --rest;
    if (rest > 0 && form.centred) beta = next++, --rest;
    if (form.drops()) key = next;
    valid = rest == 0;
  }
  int gamma = -1, beta = -1, key = -1;
  bool valid;
};

/// Operands g, y, rstd, [residual], [mean], [gamma], [key]; results dx, [dbranch], [dgamma, [dbeta]],
/// [dbias].
struct BackwardOperands {
  BackwardOperands(const Form& form, const Attrs& attrs, size_t count) {
    const bool has_residual = attrs.flag("residual"), has_bias = attrs.flag("bias");
    int next = 3;
    if (has_residual) residual = next++;
    if (form.centred) mean = next++;
    const int rest = static_cast<int>(count) - next - (form.drops() ? 1 : 0);
    if (rest == 1) gamma = next++;
    if (form.drops()) key = next;
    valid = rest == 0 || rest == 1;
    int result = 1;
    if (form.drops()) dbranch = result++;
    if (gamma >= 0) dgamma = result++;
    if (gamma >= 0 && form.centred) dbeta = result++;
    if (has_bias) dbias = result++;
  }
  int residual = -1, mean = -1, gamma = -1, key = -1;
  int dbranch = -1, dgamma = -1, dbeta = -1, dbias = -1;
  bool valid;
};

}  // namespace fovea::residual
