// RNN, GRU and LSTM: one scan over time for each direction; products with the input are done for all steps at
// once before it.
#include <algorithm>
#include <cctype>

#include "frontends/cpp/control.h"
#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

Tensor activate(Context& c, const std::string& name, const Tensor& x) {
  std::string lower;
  for (char l : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(l)));
  if (lower == "sigmoid") return sigmoid(x);
  if (lower == "tanh") return tanh(x);
  if (lower == "relu") return relu(x);
  if (lower == "softsign") return x / (1.0 + abs(x));
  if (lower == "softplus") return softplus(x);
  if (lower == "hardsigmoid") return clip(0.2 * x + 0.5, 0, 1);
  if (lower == "leakyrelu") return leaky_relu(x, 0.01);
  if (lower == "elu") return elu(x);
  c.unsupported("activation " + name);
}

// One direction of one node.
struct Cell {
  Context& c;
  int64_t gates;  // 1, 3 or 4
  Dim hidden;
  Tensor r, r_bias;  // [gates * hidden, hidden], [gates * hidden]
  Tensor peepholes;  // [3 * hidden] or undefined
  std::vector<std::string> names;
  double clip_at = 0;
  bool reset_late = false;

  Tensor act(size_t i, const Tensor& x) const {
    return activate(c, names[i], clip_at > 0 ? clip(x, -clip_at, clip_at) : x);
  }
  // Gate i of a row of all gates.
  Tensor gate(const Tensor& row, int64_t i) const {
    return slice(row, -1, hidden * Dim(i), hidden * Dim(i + 1));
  }
  Tensor times_r(const Tensor& h, int64_t first, int64_t count) const {
    const Dim from = hidden * Dim(first), to = hidden * Dim(first + count);
    return matmul(h, transpose(slice(r, 0, from, to), 0, 1)) + slice(r_bias, 0, from, to);
  }

  // The state after a step whose input gave `x` [B, gates * hidden].
  Tensors step(const Tensor& x, const Tensors& state) const {
    const Tensor& h = state[0];
    if (gates == 1) return {act(0, x + times_r(h, 0, 1))};
    if (gates == 3) {
      const Tensor zr = slice(x, -1, 0, hidden * Dim(2)) + times_r(h, 0, 2);
      const Tensor z = act(0, gate(zr, 0)), reset = act(0, gate(zr, 1));
      const Tensor inner = reset_late ? reset * times_r(h, 2, 1) : times_r(reset * h, 2, 1);
      const Tensor n = act(1, gate(x, 2) + inner);
      return {(1.0 - z) * n + z * h};
    }
    const Tensor all_gates = x + times_r(h, 0, 4), &cell = state[1];
    const auto peep = [&](const Tensor& g, int64_t i, const Tensor& seen) {
      return peepholes.defined() ? g + gate(peepholes, i) * seen : g;
    };
    const Tensor in = act(0, peep(gate(all_gates, 0), 0, cell)),
                 keep = act(0, peep(gate(all_gates, 2), 2, cell));
    const Tensor next = keep * cell + in * act(1, gate(all_gates, 3));
    const Tensor out = act(0, peep(gate(all_gates, 1), 1, next));
    return {out * activate(c, names[2], next), next};
  }
};

struct Result {
  Tensor y;       // [T, B, hidden]
  Tensors state;  // h, and c of an LSTM: [B, hidden]
};

// x [T, B, gates * hidden]. Behind a sequence's end its state stays and its outputs are zero.
Result run_direction(const Cell& cell, const Tensor& x, const Tensors& start, const Tensor& lengths,
                     bool reverse) {
  Tensors xs{x};
  if (lengths.defined())
    xs.push_back(unsqueeze(less(iota({x.dim(0), x.dim(1)}, 0), cast(lengths, DType::i64)), -1));
  const Function body = [&](const std::vector<Tensor>& in) {
    const size_t states = start.size();
    const Tensors state(in.begin(), in.begin() + static_cast<int64_t>(states));
    Tensors next = cell.step(in[states], state);
    Tensor y = next[0];
    if (lengths.defined()) {
      const Tensor& live = in[states + 1];
      y = where(live, y, 0.0);
      for (size_t i = 0; i < states; ++i) next[i] = where(live, next[i], state[i]);
    }
    next.push_back(y);
    return next;
  };
  const Tensors out = scan(body, start, xs, x.dim(0), reverse);
  return {out.back(), Tensors(out.begin(), out.end() - 1)};
}

// Element d of the first axis of operand i; undefined where the operand is left out.
Tensor direction_of(Context& c, size_t i, int64_t d) {
  return c.has(i) ? select_index(c.in(i), 0, d) : Tensor();
}

std::vector<Tensor> recurrent(Context& c, int64_t gates, std::vector<std::string> names) {
  const bool batch_first = c.integer("layout", 0) != 0, lstm = gates == 4;
  const std::string direction = c.text("direction", "forward");
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (direction != "forward" && direction != "reverse" && directions == 1)
    c.invalid("direction is \"" + direction + "\"");
  if (c.has_attr("activation_alpha") || c.has_attr("activation_beta") || c.integer("input_forget", 0) != 0)
    c.unsupported("activation_alpha, activation_beta or input_forget");
  Tensor x = c.in(0);
  if (x.rank() != 3 || c.in(1).rank() != 3 || c.in(2).rank() != 3)
    c.invalid("X, W and R must have rank 3, they have " + std::to_string(x.rank()) + ", " +
              std::to_string(c.in(1).rank()) + " and " + std::to_string(c.in(2).rank()));
  if (batch_first) x = transpose(x, 0, 1);
  const Dim hidden = c.in(2).dim(2);
  const size_t each = names.size();
  const std::vector<std::string> usual = names, given = c.texts("activations");
  if (directions == 2) names.insert(names.end(), usual.begin(), usual.end());
  if (!given.empty()) names = given;
  check_count(c, "activations", names.size(), directions * static_cast<int64_t>(each));

  Tensors ys, hs, cs;
  for (int64_t d = 0; d < directions; ++d) {
    const auto first = names.begin() + d * static_cast<int64_t>(each);
    Cell cell{c,
              gates,
              hidden,
              direction_of(c, 2, d),
              {},
              lstm ? direction_of(c, 7, d) : Tensor(),
              {first, first + static_cast<int64_t>(each)}};
    cell.clip_at = c.number("clip", 0.0);
    cell.reset_late = c.integer("linear_before_reset", 0) != 0;
    const Tensor w = direction_of(c, 1, d), bias = direction_of(c, 3, d);
    const Dim rows = hidden * Dim(gates);
    cell.r_bias = bias.defined() ? slice(bias, 0, rows, rows * Dim(2)) : zeros({rows}, x.dtype());
    const Tensor inputs = linear(x, w, bias.defined() ? slice(bias, 0, 0, rows) : bias);
    Tensors start;
    for (size_t i = 5; i < (lstm ? 7u : 6u); ++i) {
      const Tensor first_state = c.optional(i);
      start.push_back(first_state.defined() ? select_index(first_state, batch_first ? 1 : 0, d)
                                            : zeros({x.dim(1), hidden}, x.dtype()));
    }
    const Result r = run_direction(cell, inputs, start, c.optional(4), direction == "reverse" || d == 1);
    ys.push_back(r.y);
    hs.push_back(r.state[0]);
    if (lstm) cs.push_back(r.state[1]);
  }
  // Y [T, directions, B, hidden] or [B, T, directions, hidden]; states [directions, B, hidden] or turned.
  const Tensor y = stack(ys, 1);
  Tensors out{batch_first ? permute(y, {2, 0, 1, 3}) : y, stack(hs, batch_first ? 1 : 0)};
  if (lstm) out.push_back(stack(cs, batch_first ? 1 : 0));
  return out;
}

}  // namespace

FOVEA_ONNX(RNN) { return recurrent(c, 1, {"Tanh"}); }
FOVEA_ONNX(GRU) { return recurrent(c, 3, {"Sigmoid", "Tanh"}); }
FOVEA_ONNX(LSTM) { return recurrent(c, 4, {"Sigmoid", "Tanh", "Tanh"}); }

}  // namespace fovea::onnx
