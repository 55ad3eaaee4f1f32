#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// State of an LSTM, [..., H] each.
struct LstmState {
  Tensor h, c;
};

/// One step of a long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates) in PyTorch's
/// form: x [..., D], w_ih [4H, D], w_hh [4H, H], biases [4H] (both or none). Rows of the weights come in the
/// order i, f, g, o.
LstmState lstm_cell(const Tensor& x, const LstmState& state, const Tensor& w_ih, const Tensor& w_hh,
                    const Tensor& b_ih = {}, const Tensor& b_hh = {}, Source source = Source::here());

/// The part of it behind the matrix products, from the sum of both, [..., 4H]: c' = s(f) c + s(i) tanh(g), h'
/// = s(o) tanh(c'), s the logistic function.
LstmState lstm_gates(const Tensor& gates, const Tensor& c, Source source = Source::here());

}  // namespace fovea
