#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// One step of a gated recurrent unit (Cho et al. 2014) in PyTorch's form: x [..., D], h [..., H], w_ih [3H,
/// D], w_hh [3H, H], biases [3H] (both or none). Rows of the weights come in the order r, z, n. Returns the
/// new h.
Tensor gru_cell(const Tensor& x, const Tensor& h, const Tensor& w_ih, const Tensor& w_hh,
                const Tensor& b_ih = {}, const Tensor& b_hh = {}, Source source = Source::here());

/// The part of it behind the matrix products: gates_x = w_ih x + b_ih and gates_h = w_hh h + b_hh, both [...,
/// 3H]: r = s(x_r + h_r), z = s(x_z + h_z), n = tanh(x_n + r h_n), result (1 - z) n + z h, s the logistic
/// function.
Tensor gru_gates(const Tensor& gates_x, const Tensor& gates_h, const Tensor& h,
                 Source source = Source::here());

}  // namespace fovea
