// Loop and Scan. Where the number of rounds is known and small the body is converted once a round, as if the
// model had been written out: sequences may grow, sizes may change, attention in it is found. Otherwise it
// becomes a loop of the graph.
#include <algorithm>

#include "frontends/cpp/control.h"
#include "frontends/import/onnx/importer_internal.h"
#include "generated/ops.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kMostRounds = 1024, kMostNodes = 50'000;

Item known_item(Dim value, DType dtype) {
  Item item;
  item.known = Known{{}, {std::move(value)}, dtype};
  return item;
}
Item item_of(Tensor tensor) {
  Item item;
  item.tensor = std::move(tensor);
  return item;
}

bool worth_unrolling(int64_t rounds, int nodes) {
  return rounds <= kMostRounds && rounds * std::max(nodes, 1) <= kMostNodes;
}

// Whether the body's first output is its second input, or a true that does not depend on the round.
bool always_goes_on(const onnx_file::GraphProto& body) {
  if (body.output_size() == 0) return false;
  std::string name = body.output(0).name();
  for (int i = body.node_size() - 1; i >= 0; --i) {
    const auto& node = body.node(i);
    if (node.output_size() == 0 || node.output(0) != name || node.input_size() != 1) continue;
    if (node.op_type() != "Identity" && node.op_type() != "Cast") return false;
    name = node.input(0);
  }
  return body.input_size() > 1 && name == body.input(1).name();
}

}  // namespace

// rounds x (carried -> carried, pieces), written out. `first` gives the operands of a round before the
// carried ones and behind them; the condition, where there is one, is the body's first output.
std::vector<Item> Importer::unrolled(Context& c, Scope& scope, const onnx_file::GraphProto& body,
                                     const Rounds& r) {
  std::vector<Item> carried = r.carried;
  const size_t skip = r.conditional ? 1 : 0, count = carried.size();
  std::vector<std::vector<Tensor>> pieces;
  bool goes_on = true;
  for (int64_t i = 0; i < r.count && goes_on; ++i) {
    std::vector<Item> arguments;
    if (r.conditional) arguments = {known_item(i, DType::i64), known_item(1, DType::boolean)};
    arguments.insert(arguments.end(), carried.begin(), carried.end());
    for (const Tensor& x : r.scanned) arguments.push_back(item_of(select_index(x, 0, i)));
    std::vector<Item> out = convert_subgraph(body, scope, c.name() + "." + std::to_string(i), arguments);
    if (out.size() < skip + count)
      c.invalid("its body has " + std::to_string(out.size()) + " outputs for " + std::to_string(count) +
                " carried values");
    if (r.conditional) {
      const auto condition = known_of(*this, out[0]);
      if (!condition || !condition->is_const() || condition->values.size() != 1)
        c.unsupported("when it ends depends on what the model computes, and so do the sizes of its results");
      goes_on = condition->values[0].value() != 0;
    }
    std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(skip), count, carried.begin());
    pieces.resize(out.size() - skip - count);
    for (size_t k = 0; k < pieces.size(); ++k) pieces[k].push_back(tensor_of(out[skip + count + k]));
  }
  pieces.resize(static_cast<size_t>(body.output_size()) - std::min<size_t>(body.output_size(), skip + count));
  for (const auto& rows : pieces) {
    if (rows.empty()) c.unsupported("it has no rounds, so that the sizes of its stacked results are open");
    carried.push_back(item_of(stack(rows, 0)));
  }
  return carried;
}

// The same as one node that scans: `count` may be a symbol, the carried values keep their types.
std::vector<Item> Importer::scanned(Context& c, Scope& scope, const onnx_file::GraphProto& body,
                                    const Rounds& r, const Dim& length) {
  std::vector<Tensor> carry, xs = r.scanned;
  for (Item item : r.carried) carry.push_back(tensor_of(item));
  if (r.conditional) xs.insert(xs.begin(), arange(length));
  const auto step = [&](const std::vector<Tensor>& in) {
    std::vector<Item> arguments;
    size_t at = carry.size();
    if (r.conditional) arguments = {item_of(in[at++]), known_item(1, DType::boolean)};
    for (size_t i = 0; i < carry.size(); ++i) arguments.push_back(item_of(in[i]));
    while (at < in.size()) arguments.push_back(item_of(in[at++]));
    std::vector<Item> out = convert_subgraph(body, scope, c.name(), arguments);
    if (r.conditional && !out.empty()) out.erase(out.begin());
    if (out.size() < carry.size()) c.invalid("its body has fewer outputs than carried values");
    std::vector<Tensor> results;
    for (Item& item : out) results.push_back(tensor_of(item));
    return results;
  };
  std::vector<Item> out;
  for (Tensor& t : scan(step, carry, xs, length)) out.push_back(item_of(std::move(t)));
  return out;
}

// Rounds until a condition that the model computes: no stacked results.
std::vector<Item> Importer::repeated(Context& c, Scope& scope, const onnx_file::GraphProto& body,
                                     const Rounds& r, const Tensor& most, const Tensor& start) {
  const size_t count = r.carried.size();
  if (static_cast<size_t>(body.output_size()) != count + 1)
    c.unsupported(
        "how often it runs is known only when the model runs, and so are the sizes of its stacked results");
  std::vector<Tensor> carry{Tensor(Array::scalar(int64_t{0})), reshape(start, {})};
  for (Item item : r.carried) carry.push_back(tensor_of(item));
  const auto condition = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {most.defined() ? logical_and(in[1], less(in[0], reshape(most, {}))) : in[1]};
  };
  const auto step = [&](const std::vector<Tensor>& in) {
    std::vector<Item> arguments;
    for (const Tensor& t : in) arguments.push_back(item_of(t));
    std::vector<Item> out = convert_subgraph(body, scope, c.name(), arguments);
    std::vector<Tensor> results{in[0] + 1, reshape(tensor_of(out[0]), {})};
    for (size_t i = 1; i < out.size(); ++i) results.push_back(tensor_of(out[i]));
    return results;
  };
  std::vector<Item> out;
  for (Tensor& t : while_loop(condition, step, carry)) out.push_back(item_of(std::move(t)));
  out.erase(out.begin(), out.begin() + 2);
  return out;
}

std::vector<Item> Importer::convert_loop(Context& c, NodeState& state) {
  const auto* attribute = find_attribute(state, "body");
  if (!attribute || !attribute->has_g()) c.invalid("it has no body");
  const onnx_file::GraphProto& body = attribute->g();
  Rounds r;
  r.conditional = true;
  for (size_t i = 2; i < state.inputs.size(); ++i) {
    if (!state.inputs[i]) c.invalid("its carried value " + std::to_string(i - 2) + " is left out");
    r.carried.push_back(*state.inputs[i]);
  }
  if (body.input_size() != static_cast<int>(r.carried.size()) + 2)
    c.invalid("its body takes " + std::to_string(body.input_size()) + " inputs for " +
              std::to_string(r.carried.size()) + " carried values");
  const auto most = c.known(0), start = c.known(1);
  const bool starts = !c.has(1) || (start && start->is_const() && start->values.size() == 1);
  if (starts && start && start->values[0] == Dim(0)) {
    r.count = 0;
    return unrolled(c, state.scope, body, r);
  }
  const bool endless = always_goes_on(body),
             sequences =
                 std::any_of(r.carried.begin(), r.carried.end(), [](const Item&i) { return !!i.sequence; });
  if (starts && most && most->values.size() == 1) {
    const Dim& count = most->values[0];
    r.count = count.is_const() ? std::max<int64_t>(count.value(), 0) : 0;
    if (count.is_const() && worth_unrolling(r.count, body.node_size()) &&
        (endless || sequences || static_cast<size_t>(body.output_size()) > r.carried.size() + 1))
      return unrolled(c, state.scope, body, r);
    if (endless && !sequences) return scanned(c, state.scope, body, r, count);
  }
  if (sequences) c.unsupported("how long its sequences grow is known only when the model runs");
  return repeated(c, state.scope, body, r, c.optional(0), starts ? Tensor(Array::scalar(true)) : c.in(1));
}

std::vector<Item> Importer::convert_scan(Context& c, NodeState& state) {
  if (c.opset() < 9) c.unsupported("Scan of opset 8, whose operands are batches");
  const auto* attribute = find_attribute(state, "body");
  if (!attribute || !attribute->has_g()) c.invalid("it has no body");
  const onnx_file::GraphProto& body = attribute->g();
  const auto inputs = static_cast<int64_t>(c.inputs()), scans = c.integer("num_scan_inputs");
  if (scans < 1 || scans > inputs) c.invalid("num_scan_inputs is " + std::to_string(scans));
  const int64_t states = inputs - scans, stacked = body.output_size() - states;
  if (body.input_size() != inputs || stacked < 0) c.invalid("its body does not fit its operands");
  const Ints axes = c.ints("scan_input_axes", Ints(static_cast<size_t>(scans), 0)),
             turned = c.ints("scan_input_directions", Ints(static_cast<size_t>(scans), 0)),
             to = c.ints("scan_output_axes", Ints(static_cast<size_t>(stacked), 0)),
             turned_out = c.ints("scan_output_directions", Ints(static_cast<size_t>(stacked), 0));
  if (static_cast<int64_t>(axes.size()) != scans || axes.size() != turned.size() ||
      static_cast<int64_t>(to.size()) != stacked || to.size() != turned_out.size())
    c.invalid("its lists of axes and directions do not fit");
  Rounds r;
  for (int64_t i = 0; i < states; ++i) r.carried.push_back(item_of(c.in(static_cast<size_t>(i))));
  for (int64_t i = 0; i < scans; ++i) {
    Tensor x = c.in(static_cast<size_t>(states + i));
    x = move_axis(x, axis_of(c, axes[static_cast<size_t>(i)], x.rank()), 0);
    r.scanned.push_back(turned[static_cast<size_t>(i)] ? flip(x, {0}) : x);
  }
  const Dim length = r.scanned[0].dim(0);
  for (const Tensor& x : r.scanned)
    if (x.dim(0) != length) c.invalid("it scans " + length.str() + " and " + x.dim(0).str() + " slices");
  r.count = length.is_const() ? length.value() : 0;
  std::vector<Item> out = length.is_const() && worth_unrolling(r.count, body.node_size())
                              ? unrolled(c, state.scope, body, r)
                              : scanned(c, state.scope, body, r, length);
  for (size_t k = 0; k < to.size(); ++k) {
    Item& item = out[static_cast<size_t>(states) + k];
    Tensor y = tensor_of(item);
    if (turned_out[k]) y = flip(y, {0});
    item = item_of(move_axis(y, 0, axis_of(c, to[k], y.rank())));
  }
  return out;
}

// The names that check_ops looks for; both are converted above.
FOVEA_ONNX(Loop) { c.unsupported("a loop in this place"); }
FOVEA_ONNX(Scan) { c.unsupported("a scan in this place"); }

}  // namespace fovea::onnx
