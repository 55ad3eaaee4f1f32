#include "optim/attention/blocks.h"

#include <algorithm>

#include "ops/composite/softmax/softmax.h"
#include "ops/core/concat/concat.h"
#include "ops/core/matmul/matmul.h"

namespace fovea::match {
namespace {

constexpr size_t kMostBlocks = 16;
constexpr size_t kMostSteps = 128;  // from a quotient up to its blocks

// Equal but for the size of one axis, counted from the last.
bool fit(const Shape& a, const Shape& b, size_t axis) {
  if (a.size() != b.size() || a.size() <= axis) return false;
  for (size_t d = 0; d < a.size(); ++d)
    if (a[d] != b[d] && d != a.size() - 1 - axis) return false;
  return true;
}

}  // namespace

Blocks::Blocks(const View& view) : view_(view) {
  const auto count = static_cast<NodeId>(view.graph.nodes.size());
  for (NodeId id = 0; id < count; ++id) {
    if (view.role(id) == Role::div)
      find_quotient(id);
    else if (view.role(id) == Role::add && view.weighted(view.graph.nodes[static_cast<size_t>(id)].inputs[0]))
      find_parts(id);
  }
}

Value Blocks::behind(Value v) const {
  for (;;) {
    const Node& n = view_.node(v);
    if (view_.role(v) != Role::same || (n.attrs.has("barrier") && n.attrs.flag("barrier"))) return v;
    v = n.inputs[0];
  }
}

bool Blocks::is_leaf(Value v, bool sums) const {
  const Node& n = view_.node(v);
  if (!sums) return view_.role(v) == Role::matmul && view_.tainted(n.inputs[0]);
  if (view_.role(v) != Role::sum || !view_.tainted(n.inputs[0])) return false;
  const auto last = static_cast<int64_t>(view_.shape(n.inputs[0]).size()) - 1;
  return n.attrs.ints("axes") == Ints{last} && n.attrs.flag("keepdims");
}

bool Blocks::holds_leaf(Value v, bool sums) const {
  std::vector<Value> open{v};
  for (size_t k = 0; k < open.size() && k < kMostSteps; ++k) {
    const Value at = behind(open[k]);
    if (is_leaf(at, sums)) return true;
    const Role r = view_.role(at);
    if (r != Role::add && r != Role::mul && r != Role::div) continue;
    const auto& in = view_.node(at).inputs;
    open.insert(open.end(), in.begin(), in.end());
  }
  return false;
}

// The exponents of exp(v) to the power `sign`; of a difference both sides.
bool Blocks::add_exponents(Value v, int sign, std::vector<Signed>& out) const {
  v = behind(v);
  if (view_.role(v) != Role::exp) return false;
  std::vector<Signed> open{{view_.node(v).inputs[0], sign}};
  for (size_t k = 0; k < open.size() && k < kMostSteps; ++k) {
    const Signed at{behind(open[k].value), open[k].sign};
    const auto& in = view_.node(at.value).inputs;
    if (view_.role(at.value) == Role::sub) {
      open.push_back({in[0], at.sign});
      open.push_back({in[1], -at.sign});
    } else if (view_.role(at.value) == Role::neg) {
      open.push_back({in[0], -at.sign});
    } else {
      out.push_back(at);
    }
  }
  return true;
}

// The blocks that v adds up, each with what multiplies it.
bool Blocks::flatten(Value v, bool sums, std::vector<Block>& out) const {
  std::vector<Step> open{{v, {}}};
  for (size_t steps = 0; !open.empty(); ++steps) {
    if (steps > kMostSteps || out.size() > kMostBlocks) return false;
    Step at = std::move(open.back());
    open.pop_back();
    at.value = behind(at.value);
    const auto zero = view_.number(at.value);
    if (zero && *zero == 0) continue;
    const Node& n = view_.node(at.value);
    const Role r = view_.role(at.value);
    if (is_leaf(at.value, sums)) {
      Block b{behind(n.inputs[0]), sums ? n.inputs[0] : n.inputs[1], std::move(at.exponents)};
      if (!add_exponents(b.weights, 1, b.exponents)) return false;
      out.push_back(std::move(b));
    } else if (r == Role::add) {
      for (const size_t k : {1, 0}) open.push_back({n.inputs[k], at.exponents});
    } else if (r == Role::mul || r == Role::div) {
      const auto first = view_.number(n.inputs[0]), second = view_.number(n.inputs[1]);
      if (r == Role::mul && ((first && *first == 0) || (second && *second == 0))) continue;
      const size_t kept = r == Role::div || holds_leaf(n.inputs[0], sums) ? 0 : 1;
      if (!add_exponents(n.inputs[1 - kept], r == Role::mul ? 1 : -1, at.exponents)) return false;
      open.push_back({n.inputs[kept], std::move(at.exponents)});
    } else {
      return false;
    }
  }
  return out.size() > 1;
}

bool Blocks::same(const Signed& a, const Signed& b) const {
  return a.sign == b.sign && view_.canonical(a.value) == view_.canonical(b.value);
}

// Leaves of the exponents what the blocks do not share; true where that is the scores of each.
bool Blocks::simplify(std::vector<Block>& blocks) const {
  for (Block& b : blocks) {
    auto& list = b.exponents;
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t j = i + 1; j < list.size(); ++j) {
        if (!same(list[i], {list[j].value, -list[j].sign})) continue;
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(j));
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        --i;
        break;
      }
  }
  const std::vector<Signed> first = blocks[0].exponents;
  for (const Signed& s : first) {
    const auto in = [&](const Block& b) {
      return std::find_if(b.exponents.begin(), b.exponents.end(),
                          [&](const Signed& t) { return same(s, t); });
    };
    if (!std::all_of(blocks.begin(), blocks.end(),
                     [&](const Block& b) { return in(b) != b.exponents.end(); }))
      continue;
    for (Block& b : blocks) b.exponents.erase(in(b));
  }
  return std::all_of(blocks.begin(), blocks.end(), [&](const Block& b) {
    return b.exponents.size() == 1 && b.exponents[0].sign == 1 &&
           view_.shape(b.exponents[0].value) == view_.shape(b.weights);
  });
}

void Blocks::find_quotient(NodeId id) {
  const Node& n = view_.graph.nodes[static_cast<size_t>(id)];
  const Role above = view_.role(behind(n.inputs[0])), below = view_.role(behind(n.inputs[1]));
  if (above != Role::add || below != Role::add) return;
  if (!view_.tainted(n.inputs[1]) || !holds_leaf(n.inputs[0], false)) return;
  std::vector<Block> blocks, sums;
  if (!flatten(n.inputs[0], false, blocks) || !flatten(n.inputs[1], true, sums)) return;
  if (blocks.size() != sums.size() || !simplify(blocks) || !simplify(sums)) return;
  Found found;
  for (const Block& b : blocks) {
    const auto sum = std::find_if(sums.begin(), sums.end(), [&](const Block& s) {
      return view_.canonical(s.weights) == view_.canonical(b.weights) && same(s.exponents[0], b.exponents[0]);
    });
    if (sum == sums.end() || !fit(view_.shape(b.values), view_.shape(blocks[0].values), 1) ||
        !fit(view_.shape(b.weights), view_.shape(blocks[0].weights), 0))
      return;
    sums.erase(sum);
    found.scores.push_back(b.exponents[0].value);
    found.values.push_back(b.values);
  }
  found_.emplace(id, std::move(found));
}

// p[.., :n] v1 + p[.., n:] v2, all of p in order.
void Blocks::find_parts(NodeId id) {
  struct Part {
    Value of, values;
    Dim start, stop;
  };
  std::vector<Part> parts;
  std::vector<Value> open{{id, 0}};
  while (!open.empty()) {
    const Value at = behind(open.back());
    open.pop_back();
    const Node& n = view_.node(at);
    if (parts.size() > kMostBlocks) return;
    if (view_.role(at) == Role::add) {
      open.insert(open.end(), {n.inputs[1], n.inputs[0]});
      continue;
    }
    if (view_.role(at) != Role::matmul) return;
    const Value slice = behind(n.inputs[0]);
    if (view_.role(slice) != Role::slice || !view_.tainted(slice)) return;
    const Node& cut = view_.node(slice);
    const Value of = cut.inputs[0];
    const Shape &starts = cut.attrs.shape("starts"), &stops = cut.attrs.shape("stops");
    for (size_t d = 0; d < starts.size(); ++d) {
      const bool last = d + 1 == starts.size();
      if (cut.attrs.ints("steps")[d] != 1 ||
          (!last && (starts[d] != Dim(0) || stops[d] != view_.shape(of)[d])))
        return;
    }
    parts.push_back({of, n.inputs[1], starts.back(), stops.back()});
  }
  if (parts.size() < 2) return;
  // In the order of the keys; sizes that are symbols come in it already.
  if (std::all_of(parts.begin(), parts.end(), [](const Part& p) { return p.start.is_const(); }))
    std::sort(parts.begin(), parts.end(),
              [](const Part& a, const Part& b) { return a.start.value() < b.start.value(); });
  Found found;
  found.weights = parts[0].of;
  Dim at = 0;
  for (const Part& p : parts) {
    if (view_.canonical(p.of) != view_.canonical(found.weights) || p.start != at ||
        !fit(view_.shape(p.values), view_.shape(parts[0].values), 1))
      return;
    at = p.stop;
    found.values.push_back(p.values);
  }
  if (at == view_.shape(found.weights).back()) found_.emplace(id, std::move(found));
}

std::vector<Tensor> Blocks::rewrite(NodeId id, const std::map<Value, Tensor>& moved) const {
  const Found& found = found_.at(id);
  const Source source = view_.graph.nodes[static_cast<size_t>(id)].source;
  const auto joined = [&](const std::vector<Value>& parts, int64_t axis) -> Tensor {
    std::vector<Tensor> all;
    for (const Value& v : parts) {
      const auto at = moved.find(v);
      if (at == moved.end()) return {};
      all.push_back(at->second);
    }
    return concat(all, axis, source);
  };
  const Tensor values = joined(found.values, -2);
  Tensor weights;
  if (found.weights.node < 0) {
    const Tensor scores = joined(found.scores, -1);
    if (scores.defined()) weights = softmax(Arg(scores, source), -1);
  } else if (const auto at = moved.find(found.weights); at != moved.end()) {
    weights = at->second;
  }
  if (!values.defined() || !weights.defined()) return {};
  return {matmul(Arg(weights, source), values)};
}

}  // namespace fovea::match
