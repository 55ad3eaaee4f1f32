#include "frontends/nn/recurrent.h"

#include "frontends/cpp/control.h"
#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "ops/composite/gru_cell/gru_cell.h"
#include "ops/composite/linear/linear.h"
#include "ops/composite/unstack/unstack.h"
#include "ops/core/add/add.h"
#include "ops/core/concat/concat.h"
#include "ops/core/full/full.h"
#include "ops/core/permute/permute.h"

namespace fovea::nn {
namespace {

constexpr int64_t kUnrolled = 64;  // longer sequences would make long programs

struct CellSizes {
  int64_t gates, in, hidden;
};
CellSizes checked(const char* what, int64_t gates, int64_t in, int64_t hidden) {
  return {gates, at_least(1, in, std::string(what) + ": in"),
          at_least(1, hidden, std::string(what) + ": hidden")};
}
Parameter cell_parameter(const CellSizes& s, Dims shape) {
  return Parameter(std::move(shape), init::fan_in_uniform(s.hidden));
}
Parameter input_weight(const CellSizes& s) { return cell_parameter(s, {s.gates * s.hidden, s.in}); }
Parameter state_weight(const CellSizes& s) { return cell_parameter(s, {s.gates * s.hidden, s.hidden}); }
Parameter gate_bias(const CellSizes& s) { return cell_parameter(s, {s.gates * s.hidden}); }

}  // namespace

GRUCell::GRUCell(int64_t in, int64_t hidden) {
  const CellSizes s = checked("GRUCell", 3, in, hidden);
  add("weight_ih", weight_ih = input_weight(s));
  add("weight_hh", weight_hh = state_weight(s));
  add("bias_ih", bias_ih = gate_bias(s));
  add("bias_hh", bias_hh = gate_bias(s));
}

Tensor GRUCell::operator()(const Arg& x, const Tensor& h) const {
  const ModuleScope scope(*this, x.source);
  return gru_cell(to_tensor(x, h.dtype()), h, weight_ih, weight_hh, bias_ih, bias_hh);
}

LSTMCell::LSTMCell(int64_t in, int64_t hidden) {
  const CellSizes s = checked("LSTMCell", 4, in, hidden);
  add("weight_ih", weight_ih = input_weight(s));
  add("weight_hh", weight_hh = state_weight(s));
  add("bias_ih", bias_ih = gate_bias(s));
  add("bias_hh", bias_hh = gate_bias(s));
}

LstmState LSTMCell::operator()(const Arg& x, const LstmState& state) const {
  const ModuleScope scope(*this, x.source);
  return lstm_cell(to_tensor(x, state.h.dtype()), state, weight_ih, weight_hh, bias_ih, bias_hh);
}

Recurrent::Recurrent(Kind kind, int64_t in, int64_t hidden, const RecurrentOptions& options)
    : kind_(kind), hidden_(hidden), bidirectional_(options.bidirectional) {
  at_least(1, options.layers, "Recurrent: layers");
  const int64_t directions = bidirectional_ ? 2 : 1;
  for (int64_t layer = 0; layer < options.layers; ++layer)
    for (int64_t d = 0; d < directions; ++d) {
      const CellSizes s =
          checked("Recurrent", kind == Kind::gru ? 3 : 4, layer == 0 ? in : directions * hidden, hidden);
      Direction p{input_weight(s), state_weight(s), gate_bias(s), gate_bias(s)};
      const std::string suffix = "_l" + std::to_string(layer) + (d == 1 ? "_reverse" : "");
      add("weight_ih" + suffix, p.weight_ih);
      add("weight_hh" + suffix, p.weight_hh);
      add("bias_ih" + suffix, p.bias_ih);
      add("bias_hh" + suffix, p.bias_hh);
      directions_.push_back(std::move(p));
    }
}

std::vector<Tensor> Recurrent::advance(const Tensor& gates, const std::vector<Tensor>& state,
                                       const Direction& d) const {
  const Tensor from_h = linear(state[0], d.weight_hh, d.bias_hh);
  if (kind_ == Kind::gru) return {gru_gates(gates, from_h, state[0])};
  const LstmState next = lstm_gates(gates + from_h, state[1]);
  return {next.h, next.c};
}

RecurrentResult Recurrent::run(const Tensor& x, const Direction& d, bool reverse) const {
  const Tensor gates = linear(x, d.weight_ih, d.bias_ih);  // [B, L, gates * hidden]
  std::vector<Tensor> state(kind_ == Kind::gru ? 1 : 2, zeros({x.dim(0), hidden_}, x.dtype()));
  Tensor output;
  if (x.dim(1).is_const() && x.dim(1).value() >= 1 && x.dim(1).value() <= kUnrolled) {
    const std::vector<Tensor> steps = unstack(gates, 1);
    std::vector<Tensor> out(steps.size());
    for (size_t i = 0; i < steps.size(); ++i) {
      const size_t t = reverse ? steps.size() - 1 - i : i;
      state = advance(steps[t], state, d);
      out[t] = state[0];
    }
    output = stack(out, 1);
  } else {
    auto step = [&](const std::vector<Tensor>& in) {
      std::vector<Tensor> next = advance(in.back(), std::vector<Tensor>(in.begin(), in.end() - 1), d);
      next.push_back(next[0]);
      return next;
    };
    std::vector<Tensor> all = scan(step, state, {transpose(gates, 0, 1)}, 0, reverse);
    output = transpose(all.back(), 0, 1);
    state.assign(all.begin(), all.end() - 1);
  }
  return {output, {state[0]}, {state.back()}};
}

RecurrentResult Recurrent::operator()(const Arg& x) const {
  const ModuleScope scope(*this, x.source);
  RecurrentResult result{to_tensor(x, DType::f32), {}, {}};
  if (result.output.rank() != 3)
    invalid("a recurrent layer takes [batch, length, size], got " + to_string(result.output.shape()));
  const size_t directions = bidirectional_ ? 2 : 1;
  for (size_t at = 0; at < directions_.size(); at += directions) {
    std::vector<Tensor> outputs;
    for (size_t d = 0; d < directions; ++d) {
      RecurrentResult one = run(result.output, directions_[at + d], d == 1);
      outputs.push_back(one.output);
      result.h.push_back(one.h[0]);
      if (kind_ == Kind::lstm) result.c.push_back(one.c[0]);
    }
    result.output = directions == 1 ? outputs[0] : concat(outputs, -1);
  }
  return result;
}

}  // namespace fovea::nn
