#include "optim/passes/layout.h"

#include <algorithm>
#include <optional>

#include "graph/ir/op.h"
#include "optim/rewrite/rewriter.h"

namespace fovea {
namespace {

// Who reads each value: how often, and the last node that does.
class Readers {
 public:
  explicit Readers(const Graph& graph) : first_(graph.nodes.size() + 1) {
    for (size_t id = 0; id < graph.nodes.size(); ++id)
      first_[id + 1] = first_[id] + static_cast<int32_t>(graph.nodes[id].outputs.size());
    count_.assign(first_.back(), 0);
    reader_.assign(first_.back(), -1);
    for (size_t id = 0; id < graph.nodes.size(); ++id)
      for (const Value& v : graph.nodes[id].inputs) {
        ++count_[at(v)];
        reader_[at(v)] = static_cast<NodeId>(id);
      }
    for (const Value& v : graph.outputs) {
      ++count_[at(v)];
      reader_[at(v)] = -1;
    }
  }
  /// The only node that reads v, once; -1 where there is none, or the function returns v.
  NodeId only(Value v) const { return count_[at(v)] == 1 ? reader_[at(v)] : -1; }

 private:
  size_t at(Value v) const { return static_cast<size_t>(first_[v.node] + v.index); }
  std::vector<int32_t> first_, count_;
  std::vector<NodeId> reader_;
};

// A tensor's piece of a sum: what was padded with zeros along one axis, and from where to where it lies.
struct Piece {
  Value value;
  int64_t axis = -1;
  Dim begin, end;
};

std::optional<Piece> piece_of(const Graph& graph, Value v) {
  const Node& pad = graph.nodes[v.node];
  if (pad.op->name() != "pad" || pad.attrs.number("value") != 0) return {};
  const Ints& interior = pad.attrs.ints("interior");
  const Shape &low = pad.attrs.shape("low"), &high = pad.attrs.shape("high");
  Piece piece{pad.inputs[0], -1, 0, 0};
  for (size_t d = 0; d < low.size(); ++d) {
    if (interior[d] != 0) return {};
    if (low[d] == Dim(0) && high[d] == Dim(0)) continue;
    if (piece.axis >= 0) return {};
    piece.axis = static_cast<int64_t>(d);
    piece.begin = low[d];
    piece.end = low[d] + graph.type(pad.inputs[0]).shape[d];
  }
  return piece.axis < 0 ? std::nullopt : std::optional(piece);
}

// Puts pieces in the order in which they lie. False where they overlap, or where that cannot be told; only
// gaps of a known size may lie between them and at both ends.
bool in_order(std::vector<Piece>& pieces, const Dim& total) {
  constexpr size_t kMostSymbolic = 64;  // places with symbols are only equal or not: a search for each
  const bool numbers =
      std::all_of(pieces.begin(), pieces.end(), [](const Piece& p) { return p.begin.is_const(); });
  if (numbers) {
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const Piece& a, const Piece& b) { return a.begin.value() < b.begin.value(); });
  } else {
    if (pieces.size() > kMostSymbolic) return false;
    Dim at = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const auto next = std::find_if(pieces.begin() + static_cast<std::ptrdiff_t>(i), pieces.end(),
                                     [&](const Piece& p) { return p.begin == at; });
      if (next == pieces.end()) return false;
      std::swap(pieces[i], *next);
      at = pieces[i].end;
    }
  }
  Dim at = 0;
  const auto follows = [&at](const Dim& place) {
    const Dim gap = place - at;
    return gap.is_const() && gap.value() >= 0;
  };
  for (const Piece& p : pieces) {
    if (!follows(p.begin)) return false;
    at = p.end;
  }
  return follows(total);
}

// Trees of additions whose inner results nobody else reads, and how many pieces and other operands they add.
class Sums {
 public:
  Sums(const Graph& graph, const Readers& readers) : graph_(graph), readers_(readers) {
    about_.resize(graph.nodes.size());
    for (size_t id = 0; id < graph.nodes.size(); ++id) {
      if (graph.nodes[id].op->name() != "add") continue;
      About sum{0, 0, -1};
      for (const Value& v : graph.nodes[id].inputs) {
        const About part = is_inner(v, static_cast<NodeId>(id)) ? about_[v.node] : of_operand(v);
        sum.others = std::min(2, sum.others + part.others);
        sum.pieces = std::min(2, sum.pieces + part.pieces);
        if (sum.axis >= 0 && part.axis >= 0 && sum.axis != part.axis) sum.others = 2;
        sum.axis = std::max(sum.axis, part.axis);
      }
      about_[id] = sum;
    }
  }

  // Two pieces or more and at most one other operand, and not part of a larger sum like that: one other
  // operand adds the same to each element whatever the order.
  bool is_root(NodeId id) const {
    const auto good = [this](NodeId n) { return about_[n].pieces == 2 && about_[n].others < 2; };
    const NodeId reader = readers_.only({id, 0});
    return good(id) && !(reader >= 0 && is_inner({id, 0}, reader) && good(reader));
  }

  void operands(NodeId root, std::vector<Piece>& pieces, std::vector<Value>& others) const {
    std::vector<std::pair<Value, NodeId>> open;
    const auto add = [&](NodeId id) {
      for (const Value& v : graph_.nodes[id].inputs) open.emplace_back(v, id);
    };
    add(root);
    while (!open.empty()) {
      const auto [v, reader] = open.back();
      open.pop_back();
      if (is_inner(v, reader))
        add(v.node);
      else if (auto piece = piece_of(graph_, v))
        pieces.push_back(*piece);
      else
        others.push_back(v);
    }
  }

 private:
  struct About {
    int others = 0, pieces = 0;  // counted up to 2
    int64_t axis = -1;
  };
  bool is_inner(Value v, NodeId reader) const {
    return graph_.nodes[v.node].op->name() == "add" && graph_.nodes[reader].op->name() == "add" &&
           graph_.type(v) == graph_.nodes[reader].outputs[0] && readers_.only(v) == reader;
  }
  About of_operand(Value v) const {
    if (const auto piece = piece_of(graph_, v)) return {0, 1, piece->axis};
    return {1, 0, -1};
  }

  const Graph& graph_;
  const Readers& readers_;
  std::vector<About> about_;
};

class Layout {
 public:
  Layout(Rewriter& rewriter, bool pieces) : rewriter_(rewriter), readers_(rewriter.old_graph()) {
    gone_.resize(rewriter.old_graph().nodes.size());
    if (pieces) sums_.emplace(rewriter.old_graph(), readers_);
  }

  std::vector<Value> visit(NodeId id) {
    const NodeId old = rewriter_.old_id();
    if (old == done_) return {};  // what was put in its place
    if (gone_[old]) return {rewriter_.node(id).inputs[0]};
    const std::string& op = rewriter_.node(id).op->name();
    std::vector<Value> with;
    if (op == "attention") with = reorder(id, {"order"});
    if (op == "attention_backward") with = reorder(id, backward_orders(rewriter_.node(id)));
    if (op == "add" && sums_ && sums_->is_root(old)) with = concat_of_pads(id);
    if (!with.empty()) done_ = old;
    return with;
  }

  int64_t orders = 0, concats = 0;

 private:
  // The attribute that holds the order of result i; "" where it has none.
  static std::vector<std::string> backward_orders(const Node& node) {
    std::vector<std::string> names;
    for (int64_t w : node.attrs.ints("wanted"))
      names.emplace_back(w == 0 ? "q_order" : w == 1 ? "k_order" : w == 2 ? "v_order" : "");
    return names;
  }

  std::vector<Value> reorder(NodeId id, const std::vector<std::string>& names) {
    const Graph& old = rewriter_.old_graph();
    Attrs attrs = rewriter_.node(id).attrs;
    bool changed = false;
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i].empty()) continue;
      // Permutes of permutes, too: taking over only the first could undo an order that the second asks for.
      Value result{rewriter_.old_id(), static_cast<int32_t>(i)};
      for (NodeId reader = readers_.only(result); reader >= 0; reader = readers_.only(result)) {
        if (old.nodes[reader].op->name() != "permute") break;
        const Ints &axes = old.nodes[reader].attrs.ints("axes"), &order = attrs.ints(names[i]);
        attrs.set(names[i], order.empty() ? axes : composed(order, axes));
        gone_[reader] = true;
        changed = true;
        ++orders;
        result = {reader, 0};
      }
    }
    if (!changed) return {};
    const OpDecl& op = *rewriter_.node(id).op;
    const size_t outputs = rewriter_.node(id).outputs.size();
    const Value y = rewriter_.add(op, std::vector<Value>(rewriter_.node(id).inputs), attrs, id);
    std::vector<Value> out;
    for (size_t i = 0; i < outputs; ++i) out.push_back({y.node, static_cast<int32_t>(i)});
    return out;
  }

  static Ints composed(const Ints& order, const Ints& axes) {
    Ints out;
    for (int64_t a : axes) out.push_back(order[a]);
    return out;
  }

  std::vector<Value> concat_of_pads(NodeId id) {
    const TensorType type = rewriter_.node(id).outputs[0];
    std::vector<Piece> pieces;
    std::vector<Value> others;
    sums_->operands(rewriter_.old_id(), pieces, others);
    const int64_t axis = pieces[0].axis;
    if (!in_order(pieces, type.shape[axis])) return {};
    for (const Piece& p : pieces)
      if (rewriter_.old_graph().type(p.value).shape.size() != type.shape.size()) return {};
    if (!others.empty() && !(rewriter_.old_graph().type(others[0]) == type)) return {};
    Value y = rewriter_.add(find_op("concat"), parts_of(pieces, type, id), {{"axis", axis}}, id);
    if (!others.empty()) y = rewriter_.add(find_op("add"), {rewriter_.mapped(others[0]), y}, {}, id);
    ++concats;
    return {y};
  }

  // The pieces, and zeros in the gaps.
  std::vector<Value> parts_of(const std::vector<Piece>& pieces, const TensorType& type, NodeId id) {
    std::vector<Value> parts;
    const int64_t axis = pieces[0].axis;
    Dim at = 0;
    const auto zeros_until = [&](const Dim& place) {
      if (place == at) return;
      Shape shape = type.shape;
      shape[axis] = place - at;
      parts.push_back(
          rewriter_.add(find_op("full"), {}, {{"shape", shape}, {"value", 0.0}, {"dtype", type.dtype}}, id));
    };
    for (const Piece& p : pieces) {
      zeros_until(p.begin);
      parts.push_back(rewriter_.mapped(p.value));
      at = p.end;
    }
    zeros_until(type.shape[axis]);
    return parts;
  }

  Rewriter& rewriter_;
  Readers readers_;
  std::optional<Sums> sums_;
  std::vector<bool> gone_;  // permutes, by old node, that their operand has taken over
  NodeId done_ = -1;        // the old node that was replaced last
};

std::shared_ptr<Graph> run(const Graph& graph, PassContext& context, bool pieces) {
  Rewriter rewriter(graph, context);
  Layout layout(rewriter, pieces);
  auto out = rewriter.run([&](NodeId id) { return layout.visit(id); });
  context.fired("attention_order", layout.orders);
  context.fired("concat_of_pads", layout.concats);
  return out;
}

}  // namespace

std::shared_ptr<Graph> attention_layout(const Graph& graph, PassContext& context) {
  return run(graph, context, false);
}

std::shared_ptr<Graph> layout(const Graph& graph, PassContext& context) { return run(graph, context, true); }

}  // namespace fovea
