#include "frontends/import/onnx/ops/grids.h"

#include <algorithm>

#include "frontends/import/onnx/ops/common.h"
#include "graph/build/builder.h"

namespace fovea::onnx {
namespace {

constexpr int64_t kMostRead = 1 << 22;  // elements of a constant that are looked at
constexpr int64_t kFarthest = int64_t{1} << 40;

// Numbers one apart need no list.
Line tidy(Line line) {
  if (line.count == Dim(1)) line.axis = -1;
  for (size_t i = 0; i < line.values.size(); ++i)
    if (line.values[i] != line.values[0] + static_cast<int64_t>(i)) return line;
  if (!line.values.empty()) line.first = line.values[0];
  line.values.clear();
  return line;
}

std::optional<Line> line_of(const Array& array) {
  if (is_floating(array.dtype()) || array.size() == 0 || array.size() > kMostRead) return {};
  const std::vector<int64_t> all = array.to_vector<int64_t>();
  const auto far = [](int64_t v) { return v < -kFarthest || v > kFarthest; };
  if (std::any_of(all.begin(), all.end(), far)) return {};
  const Dims& shape = array.shape();
  const Dims strides = contiguous_strides(shape);
  Line line;
  int64_t size = 1, stride = 1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1 || all[0] == all[static_cast<size_t>(strides[d])]) continue;
    if (line.axis >= 0) return {};
    line.axis = static_cast<int64_t>(d);
    size = shape[d];
    stride = strides[d];
  }
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != all[static_cast<size_t>(static_cast<int64_t>(i) / stride % size * stride)]) return {};
  line.count = size;
  for (int64_t i = 0; i < size; ++i) line.values.push_back(all[static_cast<size_t>(i * stride)]);
  return tidy(std::move(line));
}

// Which axis of `to` holds what `axis` of `from` does, where both have the same sizes but for ones.
std::optional<int64_t> moved_axis(const Shape& from, const Shape& to, int64_t axis) {
  size_t t = 0;
  int64_t found = -1;
  for (size_t f = 0; f < from.size(); ++f) {
    if (from[f] == Dim(1)) continue;
    while (t < to.size() && to[t] == Dim(1)) ++t;
    if (t == to.size() || to[t] != from[f]) return {};
    if (static_cast<int64_t>(f) == axis) found = static_cast<int64_t>(t);
    ++t;
  }
  return found;
}

// The only element of a constant.
std::optional<int64_t> number_of(const Graph& graph, const Module& module, Value v) {
  while (graph.nodes[v.node].op->name() == "broadcast_to" || graph.nodes[v.node].op->name() == "reshape")
    v = graph.nodes[v.node].inputs[0];
  const Node& node = graph.nodes[v.node];
  if (node.op->name() == "full") {
    const double value = node.attrs.number("value");
    const auto whole = static_cast<int64_t>(std::clamp(value, -0x1p40, 0x1p40));
    return static_cast<double>(whole) == value ? std::optional(whole) : std::nullopt;
  }
  if (node.op->name() != "constant") return {};
  const Array& array = module.constants[static_cast<size_t>(node.attrs.integer("index"))];
  if (array.size() != 1 || is_floating(array.dtype())) return {};
  return array.to_vector<int64_t>()[0];
}

// One operation on a line that is known.
bool apply(const Graph& graph, const Module& module, const Node& node, int operand, Line& line) {
  const std::string& op = node.op->name();
  const Shape &from = graph.type(node.inputs[operand]).shape, &to = node.outputs[0].shape;
  if (op == "cast") return !is_floating(node.outputs[0].dtype) && node.outputs[0].dtype != DType::boolean;
  if (op == "reshape") {
    if (line.axis < 0) return true;
    const auto axis = moved_axis(from, to, line.axis);
    if (axis) line.axis = *axis;
    return axis.has_value();
  }
  if (op == "broadcast_to") {
    if (line.axis >= 0) line.axis += static_cast<int64_t>(to.size() - from.size());
    return true;
  }
  const auto number = number_of(graph, module, node.inputs[1 - operand]);
  if (!number || *number < -kFarthest || *number > kFarthest) return false;
  if (line.axis >= 0) line.axis += static_cast<int64_t>(to.size() - from.size());
  if (op == "add") {
    line.first += *number;
    for (int64_t& v : line.values) v += *number;
    return true;
  }
  if (*number == 1) return true;
  if (!line.count.is_const() || line.count.value() > kMostRead) return false;
  if (line.values.empty())
    for (int64_t i = 0; i < line.count.value(); ++i) line.values.push_back(line.first + i);
  for (int64_t& v : line.values)
    if (__builtin_mul_overflow(v, *number, &v) || v < -kFarthest || v > kFarthest) return false;
  line = tidy(std::move(line));
  return true;
}

std::optional<Line> line_at(const Builder& builder, Value v) {
  const Graph& graph = builder.graph();
  std::vector<std::pair<const Node*, int>> above;
  for (;; v = above.back().first->inputs[static_cast<size_t>(above.back().second)]) {
    const Node& node = graph.nodes[v.node];
    const std::string& op = node.op->name();
    if (op == "reshape" || op == "broadcast_to" || op == "cast") {
      above.emplace_back(&node, 0);
    } else if (op == "add" || op == "mul") {
      above.emplace_back(&node, number_of(graph, *builder.module(), node.inputs[1]) ? 0 : 1);
    } else {
      break;
    }
  }
  std::optional<Line> line;
  const Node& root = graph.nodes[v.node];
  if (root.op->name() == "constant") {
    line = line_of(builder.module()->constants[static_cast<size_t>(root.attrs.integer("index"))]);
  } else if (root.op->name() == "iota" && !is_floating(root.outputs[0].dtype)) {
    const int64_t axis = root.attrs.integer("axis");
    line = tidy({axis, root.outputs[0].shape[static_cast<size_t>(axis)], 0, {}});
  }
  for (auto at = above.rbegin(); line && at != above.rend(); ++at)
    if (!apply(graph, *builder.module(), *at->first, at->second, *line)) return {};
  return line;
}

// Places within an axis of `size`, negative ones counted from its end: false where some leave it or repeat.
bool fit(Line& line, const Dim& size) {
  if (line.values.empty()) {
    if (line.first < 0) {
      const Dim from_end = size + line.first;
      if (!from_end.is_const() || !(line.count + line.first).is_const() ||
          (line.count + line.first).value() > 0)
        return false;
      line.first = from_end.value();
    }
    const Dim behind = size - line.first - line.count;
    return line.first >= 0 && behind.is_const() && behind.value() >= 0;
  }
  if (!size.is_const() || size.value() > kMostRead) return false;
  std::vector<bool> taken(static_cast<size_t>(size.value()), false);
  for (int64_t& v : line.values) {
    if (v < 0) v += size.value();
    if (v < 0 || v >= size.value() || taken[static_cast<size_t>(v)]) return false;
    taken[static_cast<size_t>(v)] = true;
  }
  line = tidy(std::move(line));
  return true;
}

}  // namespace

std::optional<Line> line_of(const Tensor& x) {
  if (!x.traced()) return line_of(x.array());
  return line_at(*x.builder(), x.value());
}

std::optional<std::vector<Line>> grid_of(const Tensor& vectors) {
  if (vectors.rank() < 1 || !vectors.dim(-1).is_const() || vectors.dim(-1).value() > 64) return {};
  const int64_t depth = vectors.dim(-1).value(), rank = vectors.rank() - 1;
  std::vector<std::optional<Line>> found;
  if (!vectors.traced()) {
    const TraceScope at_once(nullptr);
    for (int64_t d = 0; d < depth; ++d) found.push_back(line_of(select_index(vectors, -1, d)));
  } else if (const Node& node = vectors.builder()->graph().nodes[vectors.value().node];
             node.op->name() == "concat" && node.attrs.integer("axis") == rank) {
    if (static_cast<int64_t>(node.inputs.size()) != depth) return {};
    for (const Value part : node.inputs) found.push_back(line_at(*vectors.builder(), part));
  } else if (depth == 1) {
    found.push_back(line_of(vectors));
  }
  std::vector<Line> out;
  int64_t before = -1;
  for (const auto& line : found) {  // the grid's axes must follow those of the tensor that is written to
    if (!line || (line->axis >= 0 && line->axis <= before)) return {};
    if (line->axis >= 0) before = line->axis;
    out.push_back(*line);
  }
  for (int64_t d = 0; d < rank; ++d)
    if (vectors.dim(d) != Dim(1) &&
        std::none_of(out.begin(), out.end(), [d](const Line& l) { return l.axis == d; }))
      return {};
  if (out.empty()) return {};
  return out;
}

std::optional<Tensor> put_on_grid(const Tensor& x, const Tensor& updates, std::vector<Line> lines,
                                  std::string_view reduction) {
  const bool adds = reduction == "add";
  if ((!adds && reduction != "none") || static_cast<int64_t>(lines.size()) > x.rank()) return {};
  for (size_t d = 0; d < lines.size(); ++d)
    if (!fit(lines[d], x.dim(static_cast<int64_t>(d)))) return {};
  if (x.dtype() == DType::boolean) {
    if (adds) return {};
    const auto y = put_on_grid(cast(x, DType::u8), cast(updates, DType::u8), lines, reduction);
    return y ? std::optional(cast(*y, DType::boolean)) : y;
  }
  const Shape ones(static_cast<size_t>(x.rank()), Dim(1));
  Shape box = x.shape(), low(ones.size(), Dim(0)), high = low;
  for (size_t d = 0; d < lines.size(); ++d) box[d] = lines[d].count;
  Tensor filling = reshape(updates, box), inside;
  bool pads = false;
  const auto also = [&](const Tensor& t) { inside = inside.defined() ? logical_and(inside, t) : t; };
  for (size_t d = 0; d < lines.size(); ++d) {
    const Line& line = lines[d];
    const auto axis = static_cast<int64_t>(d);
    const Dim size = x.dim(axis);
    if (!line.values.empty()) {  // from which update each element of the axis comes, if from any
      std::vector<int64_t> from(static_cast<size_t>(size.value()), 0), hit = from;
      for (size_t i = 0; i < line.values.size(); ++i) {
        from[static_cast<size_t>(line.values[i])] = static_cast<int64_t>(i);
        hit[static_cast<size_t>(line.values[i])] = 1;
      }
      filling = gather(filling, Array::of(from, {size.value()}), axis);
      if (line.count != size)
        also(reshape(Array::of(hit, {size.value()}).cast(DType::boolean), with_size(ones, axis, size)));
      continue;
    }
    low[d] = line.first;
    high[d] = size - line.first - line.count;
    if (low[d] == Dim(0) && high[d] == Dim(0)) continue;
    pads = true;
    const Tensor at = iota(with_size(ones, axis, size), axis);
    if (line.first > 0) also(less_equal(line.first, at));
    if (high[d] != Dim(0))
      also(less(at, line.count.is_const() ? to_tensor(line.first + line.count.value(), DType::i64)
                                          : extent(line.count + line.first)));
  }
  if (pads) filling = pad(filling, low, high, {}, 0);
  if (!inside.defined()) return adds ? x + filling : filling;
  return adds ? x + where(inside, filling, zeros({}, x.dtype())) : where(inside, filling, x);
}

}  // namespace fovea::onnx
