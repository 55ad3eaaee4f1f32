// Rules about ops that move elements without computing.
#include <algorithm>

#include "optim/passes/algebra_rules.h"

namespace fovea {
namespace {

bool all_zero(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d == Dim(0); });
}
bool all_are(const Ints& list, int64_t value) {
  return std::all_of(list.begin(), list.end(), [&](int64_t v) { return v == value; });
}

Value identity(AlgebraView& g, NodeId id) {
  const AttrValue* barrier = g.node(id).attrs.find("barrier");
  return barrier && std::get<bool>(*barrier) ? kNone : g.in(id, 0);
}

Value stop_gradient(AlgebraView& g, NodeId id) { return g.in(id, 0); }

Value same_shape(AlgebraView& g, NodeId id) {
  return g.type(g.in(id, 0)) == g.node(id).outputs[0] ? g.in(id, 0) : kNone;
}

Value reshape_reshape(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.reshape)) return kNone;
  return g.add(g.reshape, {g.node(inner).inputs[0]}, {{"shape", Shape(g.node(id).outputs[0].shape)}}, id);
}

Value permute_identity(AlgebraView& g, NodeId id) {
  const Ints& axes = g.node(id).attrs.ints("axes");
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != static_cast<int64_t>(i)) return kNone;
  return g.in(id, 0);
}

Value permute_permute(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.permute)) return kNone;
  Ints axes = g.node(id).attrs.ints("axes");
  const Ints& first = g.node(inner).attrs.ints("axes");
  for (int64_t& a : axes) a = first[a];
  return g.add(g.permute, {g.node(inner).inputs[0]}, {{"axes", axes}}, id);
}

Value broadcast_broadcast(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.broadcast_to)) return kNone;
  return g.add(g.broadcast_to, {g.node(inner).inputs[0]}, {{"shape", Shape(g.node(id).outputs[0].shape)}},
               id);
}

Value slice_full(AlgebraView& g, NodeId id) {
  const Attrs& attrs = g.node(id).attrs;
  if (!all_zero(attrs.shape("starts")) || !all_are(attrs.ints("steps"), 1)) return kNone;
  return attrs.shape("stops") == g.type(g.in(id, 0)).shape ? g.in(id, 0) : kNone;
}

Value slice_slice(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.slice)) return kNone;
  const Attrs &first = g.node(inner).attrs, &second = g.node(id).attrs;
  if (!all_are(first.ints("steps"), 1) || !all_are(second.ints("steps"), 1)) return kNone;
  Shape starts = second.shape("starts"), stops = second.shape("stops");
  for (size_t d = 0; d < starts.size(); ++d) {
    starts[d] = starts[d] + first.shape("starts")[d];
    stops[d] = stops[d] + first.shape("starts")[d];
  }
  const Value x = g.node(inner).inputs[0];
  const Ints steps(starts.size(), 1);
  return g.add(g.slice, {x}, {{"starts", starts}, {"stops", stops}, {"steps", steps}}, id);
}

bool plain_pad(const Attrs& attrs) {
  const auto grows = [](const Shape& s) {
    return std::all_of(s.begin(), s.end(), [](const Dim& d) { return d.is_const() && d.value() >= 0; });
  };
  return all_are(attrs.ints("interior"), 0) && grows(attrs.shape("low")) && grows(attrs.shape("high"));
}

Value pad_nothing(AlgebraView& g, NodeId id) {
  const Attrs& attrs = g.node(id).attrs;
  const bool nothing =
      all_zero(attrs.shape("low")) && all_zero(attrs.shape("high")) && all_are(attrs.ints("interior"), 0);
  return nothing ? g.in(id, 0) : kNone;
}

Value pad_pad(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.pad)) return kNone;
  const Attrs &first = g.node(inner).attrs, &second = g.node(id).attrs;
  if (!plain_pad(first) || !plain_pad(second) || !(*first.find("value") == *second.find("value")))
    return kNone;
  if (!(Attrs{{"v", first.number("value")}} == Attrs{{"v", second.number("value")}}))
    return kNone;  // by bits
  Attrs attrs = second;
  Shape low = second.shape("low"), high = second.shape("high");
  for (size_t d = 0; d < low.size(); ++d) {
    low[d] = low[d] + first.shape("low")[d];
    high[d] = high[d] + first.shape("high")[d];
  }
  attrs.set("low", low);
  attrs.set("high", high);
  return g.add(g.pad, {g.node(inner).inputs[0]}, attrs, id);
}

// A slice of a padded tensor that takes the tensor again, or padding only.
Value slice_pad(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.pad)) return kNone;
  const Attrs &pad = g.node(inner).attrs, &slice = g.node(id).attrs;
  if (!plain_pad(pad) || !all_are(slice.ints("steps"), 1)) return kNone;
  const Value x = g.node(inner).inputs[0];
  const Shape &starts = slice.shape("starts"), &stops = slice.shape("stops"), &shape = g.type(x).shape;
  bool inside = true, outside = false;
  for (size_t d = 0; d < shape.size(); ++d) {
    const Dim low = pad.shape("low")[d], end = low + shape[d];
    inside = inside && starts[d] == low && stops[d] == end;
    const Dim before = low - stops[d], behind = starts[d] - end;
    outside =
        outside || (before.is_const() && before.value() >= 0) || (behind.is_const() && behind.value() >= 0);
  }
  if (inside) return x;
  return outside ? g.full(pad.number("value"), id) : kNone;
}

Value concat_one(AlgebraView& g, NodeId id) { return g.node(id).inputs.size() == 1 ? g.in(id, 0) : kNone; }

// A slice within one part of a concatenation.
Value slice_concat(AlgebraView& g, NodeId id) {
  const Value inner = g.in(id, 0);
  if (!g.is(inner, g.concat)) return kNone;
  const Attrs attrs = g.node(id).attrs;
  if (!all_are(attrs.ints("steps"), 1)) return kNone;
  const int64_t axis = g.node(inner).attrs.integer("axis");
  Shape starts = attrs.shape("starts"), stops = attrs.shape("stops");
  Dim at = 0;
  const std::vector<Value>& parts = g.node(inner).inputs;
  constexpr size_t kMostParts = 64;  // what is looked at for one slice is bounded
  for (size_t i = 0; i < parts.size() && i < kMostParts; ++i) {
    const Dim end = at + g.type(parts[i]).shape[axis], before = starts[axis] - at, behind = end - stops[axis];
    if (before.is_const() && behind.is_const() && before.value() >= 0 && behind.value() >= 0) {
      starts[axis] = before;
      stops[axis] = stops[axis] - at;
      return g.add(g.slice, {parts[i]},
                   {{"starts", starts}, {"stops", stops}, {"steps", attrs.ints("steps")}}, id);
    }
    at = end;
  }
  return kNone;
}

// The slices [0, a), [a, b), ... of one tensor, put together again.
Value concat_slices(AlgebraView& g, NodeId id) {
  const Node& node = g.node(id);
  const int64_t axis = node.attrs.integer("axis");
  Value x = kNone;
  Dim at = 0;
  for (const Value& part : node.inputs) {
    const Node& slice = g.node(part);
    if (slice.op != &g.slice || !all_are(slice.attrs.ints("steps"), 1)) return kNone;
    if (!x) x = slice.inputs[0];
    if (x != slice.inputs[0] || !(g.type(x) == node.outputs[0])) return kNone;
    const Shape &starts = slice.attrs.shape("starts"), &stops = slice.attrs.shape("stops");
    for (size_t d = 0; d < starts.size(); ++d)
      if (static_cast<int64_t>(d) != axis && !(starts[d] == Dim(0) && stops[d] == g.type(x).shape[d]))
        return kNone;
    if (!(starts[axis] == at)) return kNone;
    at = stops[axis];
  }
  return x;
}

// A reduction over axes of size 1 keeps its elements; a sum begins with +0 and makes +0 of -0. It waits until
// attention has been found: the sum over the keys is a sum, even over one.
Value reduce_nothing(AlgebraView& g, NodeId id) {
  const Value x = g.in(id, 0);
  for (int64_t a : g.node(id).attrs.ints("axes"))
    if (!(g.type(x).shape[a] == Dim(1))) return kNone;
  const std::string& op = g.node(id).op->name();
  if (op == "sum" && !g.never_minus_zero(x)) return kNone;
  return g.add(g.reshape, {x}, {{"shape", Shape(g.node(id).outputs[0].shape)}}, id);
}

}  // namespace

const std::vector<AlgebraRule>& movement_rules() {
  static const auto* rules = new std::vector<AlgebraRule>{
      {"identity", {"identity"}, identity},
      {"stop_gradient", {"stop_gradient"}, stop_gradient, true},
      {"same_shape", {"reshape", "broadcast_to"}, same_shape},
      {"reshape_reshape", {"reshape"}, reshape_reshape},
      {"permute_identity", {"permute"}, permute_identity},
      {"permute_permute", {"permute"}, permute_permute},
      {"broadcast_broadcast", {"broadcast_to"}, broadcast_broadcast, true},
      {"slice_full", {"slice"}, slice_full},
      {"slice_slice", {"slice"}, slice_slice},
      {"slice_pad", {"slice"}, slice_pad, true},
      {"slice_concat", {"slice"}, slice_concat, true},
      {"pad_nothing", {"pad"}, pad_nothing},
      {"pad_pad", {"pad"}, pad_pad},
      {"concat_one", {"concat"}, concat_one},
      {"concat_slices", {"concat"}, concat_slices, true},
      {"reduce_nothing", {"sum", "max", "min", "prod"}, reduce_nothing, true},
  };
  return *rules;
}

}  // namespace fovea
