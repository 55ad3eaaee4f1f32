// Recurrent layers, with PyTorch's parameter names and gate order.
#pragma once

#include <vector>

#include "frontends/nn/module_scope.h"
#include "ops/composite/lstm_cell/lstm_cell.h"

namespace fovea::nn {

/// Gated recurrent unit (Cho et al. 2014): r, z, n = the three gates in the rows of the weights,
///   r = sigmoid(Wr x + br + Ur h + cr), z = sigmoid(...), n = tanh(Wn x + bn + r (Un h + cn)), h' = (1 - z)
///   n + z h.
class GRUCell : public Module {
 public:
  GRUCell(int64_t in, int64_t hidden);
  /// x [B, in], h [B, hidden] -> [B, hidden]
  Tensor operator()(const Arg& x, const Tensor& h) const;

  Parameter weight_ih, weight_hh, bias_ih, bias_hh;
};

/// Long short-term memory (Hochreiter and Schmidhuber 1997); gates i, f, g, o:
///   c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c').
class LSTMCell : public Module {
 public:
  LSTMCell(int64_t in, int64_t hidden);
  /// x [B, in], h and c [B, hidden]
  LstmState operator()(const Arg& x, const LstmState& state) const;

  Parameter weight_ih, weight_hh, bias_ih, bias_hh;
};

/// Layers and directions of a recurrent network.
struct RecurrentOptions {
  int64_t layers = 1;
  bool bidirectional = false;
};

/// Outputs of every step, and the last states.
struct RecurrentResult {
  Tensor output;          ///< [B, L, directions * hidden]
  std::vector<Tensor> h;  ///< last state of each layer and direction, [B, hidden]: forward, then backward
  std::vector<Tensor> c;  ///< the same for the cells of an LSTM; empty for a GRU
};

/// What GRU and LSTM share: x [B, L, in], states start at zero. The gates of the inputs of all steps are one
/// product; then the steps follow one another: unrolled where L is a number of at most 64, else by scan.
class Recurrent : public Module {
 public:
  RecurrentResult operator()(const Arg& x) const;

 protected:
  enum class Kind { gru, lstm };
  Recurrent(Kind kind, int64_t in, int64_t hidden, const RecurrentOptions& options);

 private:
  struct Direction {
    Parameter weight_ih, weight_hh, bias_ih, bias_hh;
  };
  RecurrentResult run(const Tensor& x, const Direction& d, bool reverse) const;
  std::vector<Tensor> advance(const Tensor& gates, const std::vector<Tensor>& state,
                              const Direction& d) const;

  Kind kind_;
  int64_t hidden_;
  bool bidirectional_;
  std::vector<Direction> directions_;  // layer by layer, forward then backward
};

/// Gated recurrent unit network (Cho et al. 2014).
struct GRU : Recurrent {
  GRU(int64_t in, int64_t hidden, const RecurrentOptions& options = {})
      : Recurrent(Kind::gru, in, hidden, options) {}
};
/// Long short-term memory network (Hochreiter and Schmidhuber 1997).
struct LSTM : Recurrent {
  LSTM(int64_t in, int64_t hidden, const RecurrentOptions& options = {})
      : Recurrent(Kind::lstm, in, hidden, options) {}
};

}  // namespace fovea::nn
