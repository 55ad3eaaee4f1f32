#include "frontends/nn/decoding/graph_decoder.h"

#include <algorithm>
#include <cstring>

#include "framework/base/error.h"
#include "frontends/nn/dataset.h"

namespace fovea::nn {
namespace {

constexpr int64_t kFirstCapacity = 16;

bool is_weight(const std::string& name) { return name.starts_with("param/") || name.starts_with("buffer/"); }

// `array` with zeros behind the elements of one axis, up to `size` of them.
Array grown(const Array& array, int64_t axis, int64_t size) {
  Dims shape = array.shape();
  const int64_t before = shape[static_cast<size_t>(axis)];
  shape[static_cast<size_t>(axis)] = size;
  Array out = Array::zeros(array.dtype(), shape);
  int64_t outer = 1, inner = size_of(array.dtype());
  for (int64_t d = 0; d < array.rank(); ++d)
    if (d != axis) (d < axis ? outer : inner) *= shape[static_cast<size_t>(d)];
  const auto* from = static_cast<const char*>(array.raw());
  auto* to = static_cast<char*>(out.raw());
  for (int64_t o = 0; o < outer; ++o)
    std::memcpy(to + o * size * inner, from + o * before * inner, static_cast<size_t>(before * inner));
  return out;
}

}  // namespace

GraphEntry GraphEntry::make(const std::shared_ptr<fovea::Module>& module, const std::string& name,
                            const std::map<std::string, Array>& weights, CompileOptions options) {
  GraphEntry out;
  const Graph& graph = module->function(name);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const std::string& input = graph.input_name(i);
    if (!is_weight(input)) {
      out.inputs.push_back(input);
      continue;
    }
    if (!out.inputs.empty())
      invalid("entry '" + name + "': the weight '" + input + "' comes behind other inputs");
    const auto at = weights.find(input);
    if (at == weights.end())
      invalid("entry '" + name + "' needs the weight '" + input + "', which is not there");
    out.weights.push_back(at->second.contiguous());
  }
  const auto first = static_cast<int>(out.weights.size());
  for (auto& donation : options.donate) donation.first += first;
  out.program = std::make_unique<Program>(module, name, options);
  return out;
}

std::vector<Array> GraphEntry::run(const std::vector<Array>& inputs) const {
  std::vector<Array> arguments = weights;
  arguments.insert(arguments.end(), inputs.begin(), inputs.end());
  return program->run(arguments);
}

DecoderGraphs::DecoderGraphs(std::shared_ptr<fovea::Module> module,
                             const std::map<std::string, Array>& weights) {
  const Graph& graph = module->function("decode_step");
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const std::string& name = graph.input_name(i);
    contexts += name.starts_with("context.");
    if (!name.starts_with("state.")) continue;
    State state{graph.nodes[static_cast<size_t>(graph.inputs[i])].outputs[0], -1};
    for (size_t d = 0; d < state.type.shape.size(); ++d)
      if (state.type.shape[d] == Dim::symbol("C")) state.capacity_axis = static_cast<int64_t>(d);
    states.push_back(std::move(state));
  }
  CompileOptions in_place;  // the states take over their own memory
  for (size_t i = 0; i < states.size(); ++i)
    in_place.donate.emplace_back(static_cast<int>(2 + contexts + i), static_cast<int>(1 + i));
  encode = GraphEntry::make(module, "encode", weights);
  step = GraphEntry::make(module, "decode_step", weights, in_place);
  rows = GraphEntry::make(module, "decode_rows", weights);
  const size_t given = module->function("encode").outputs.size();
  if (given < contexts || given > contexts + states.size() ||
      step.inputs.size() != 2 + contexts + states.size() ||
      rows.inputs.size() != 3 + contexts + states.size() || graph.outputs.size() != 1 + states.size())
    invalid("the entries encode, decode_step and decode_rows do not fit together: encode gives " +
            std::to_string(given) + ", decode_step takes " + std::to_string(contexts) + " contexts and " +
            std::to_string(states.size()) + " states among " + std::to_string(step.inputs.size()) +
            " inputs and gives " + std::to_string(graph.outputs.size()) + ", decode_rows takes " +
            std::to_string(rows.inputs.size()));
}

GraphDecoder::GraphDecoder(const DecoderGraphs& graphs, const std::vector<Array>& inputs) : graphs_(graphs) {
  const std::vector<Array> out = graphs.encode.run(inputs);
  const auto split = out.begin() + static_cast<std::ptrdiff_t>(graphs.contexts);
  encoded_.assign(out.begin(), split);
  states_.assign(split, out.end());
  context_ = encoded_;
  if (inputs.empty() || inputs[0].rank() < 1)
    invalid("generation needs an input whose first axis is the sequence");
  sequence_.resize(static_cast<size_t>(inputs[0].dim(0)));
  for (size_t i = 0; i < sequence_.size(); ++i) sequence_[i] = static_cast<int64_t>(i);
  const Bindings sizes{{"R", inputs[0].dim(0)}, {"C", capacity_ = kFirstCapacity}};
  for (size_t i = states_.size(); i < graphs.states.size(); ++i)
    states_.push_back(
        Array::zeros(graphs.states[i].type.dtype, evaluate(graphs.states[i].type.shape, sizes)));
}

// Capacities double, so that a short sequence attends over little and a long one is seldom copied.
void GraphDecoder::make_room() {
  if (position_ < capacity_) return;
  capacity_ *= 2;
  for (size_t i = 0; i < states_.size(); ++i)
    if (graphs_.states[i].capacity_axis >= 0)
      states_[i] = grown(states_[i], graphs_.states[i].capacity_axis, capacity_);
}

// Contexts for rows that go on from other rows.
void GraphDecoder::follow(std::span<const int64_t> from) {
  std::vector<int64_t> sequence;
  for (const int64_t row : from) {
    if (row < 0 || row >= static_cast<int64_t>(sequence_.size()))
      invalid("a row goes on from row " + std::to_string(row) + ", there are " +
              std::to_string(sequence_.size()));
    sequence.push_back(sequence_[static_cast<size_t>(row)]);
  }
  if (sequence == sequence_) return;
  sequence_ = std::move(sequence);
  for (size_t i = 0; i < encoded_.size(); ++i) context_[i] = take_rows(encoded_[i], sequence_);
}

// Runs a step; the states are written where they are, or into the spare ones.
Array GraphDecoder::run(const GraphEntry& entry, const std::vector<Array>& own, bool in_place) {
  std::vector<Array> arguments = entry.weights;
  arguments.insert(arguments.end(), own.begin(), own.end());
  arguments.insert(arguments.end(), context_.begin(), context_.end());
  arguments.insert(arguments.end(), states_.begin(), states_.end());
  const auto plan = entry.program->plan(arguments);
  auto fits = [](const Array& a, const PlanOperand& o) {
    return a.defined() && a.dtype() == o.dtype && a.shape() == o.shape;
  };
  if (!fits(log_probs_, plan->outputs[0])) log_probs_ = Array(plan->outputs[0].dtype, plan->outputs[0].shape);
  if (!in_place) {
    spare_.resize(states_.size());
    for (size_t i = 0; i < states_.size(); ++i)
      if (!fits(spare_[i], plan->outputs[1 + i]))
        spare_[i] = Array(plan->outputs[1 + i].dtype, plan->outputs[1 + i].shape);
  }
  std::vector<const void*> in;
  for (const Array& a : arguments) in.push_back(a.raw());
  std::vector<void*> out{log_probs_.raw()};
  for (const Array& a : in_place ? states_ : spare_) out.push_back(a.raw());
  plan->run(in.data(), out.data());
  if (!in_place) std::swap(states_, spare_);
  return log_probs_;
}

Array GraphDecoder::step(std::span<const int32_t> tokens, std::span<const int64_t> from) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const size_t next = from.empty() ? sequence_.size() : from.size();
  if (tokens.size() != next)
    invalid("a step has " + std::to_string(rows) + " tokens for " + std::to_string(next) + " rows");
  make_room();
  bool same = from.size() == sequence_.size() || from.empty();
  for (size_t i = 0; same && i < from.size(); ++i) same = from[i] == static_cast<int64_t>(i);
  std::vector<Array> own{Array::of(std::vector<int32_t>(tokens.begin(), tokens.end()), {rows}),
                         Array::scalar(position_)};
  ++position_;
  if (same) return run(graphs_.step, own, /*in_place=*/true);
  follow(from);
  own.push_back(Array::of(std::vector<int64_t>(from.begin(), from.end()), {rows}));
  return run(graphs_.rows, own, /*in_place=*/false);
}

}  // namespace fovea::nn
