// Attention and rotary positions, as the plain operations that they stand for: the compiler finds them.
#include <cmath>
#include <limits>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// [B, L, heads * D] as [B, heads, L, D]; 4-d operands have their heads already.
Tensor split_heads(Context& c, const Tensor& x, const char* attribute) {
  if (x.rank() == 4) return x;
  if (x.rank() != 3) c.invalid("an operand has rank " + std::to_string(x.rank()) + ", 3 or 4 is needed");
  const int64_t heads = c.integer(attribute);
  const auto each = heads > 0 ? exact_div(x.dim(2), heads) : std::nullopt;
  if (!each)
    c.invalid(std::to_string(heads) + " heads (" + attribute + ") do not divide a size of " + x.dim(2).str());
  return transpose(reshape(x, {x.dim(0), x.dim(1), heads, *each}), 1, 2);
}

// Each head of keys or values once for every query head of its group.
Tensor repeat_heads(Context& c, const Tensor& x, const Dim& heads) {
  if (x.dim(1) == heads) return x;
  const auto group = exact_div(heads, x.dim(1));
  if (!group) c.invalid(heads.str() + " query heads for " + x.dim(1).str() + " key heads");
  const Tensor apart = unsqueeze(x, 2);
  return reshape(broadcast_to(apart, {x.dim(0), x.dim(1), *group, x.dim(2), x.dim(3)}),
                 {x.dim(0), heads, x.dim(2), x.dim(3)});
}

struct Scores {
  Tensor plain, capped, masked;
  bool may_be_empty = false;  // a query may be without a key
};

// Which keys a query sees beside the mask: i + offset is its place among the keys.
Tensor visible(Context& c, const Tensor& scores, const Tensor& offset) {
  const Shape plane{scores.dim(2), scores.dim(3)};
  const int64_t left = c.integer("left_window_size", -1), right = c.integer("right_window_size", -1);
  const Tensor i = iota(plane, 0) + offset, j = iota(plane, 1);
  Tensor seen;
  const auto also = [&](const Tensor& t) { seen = seen.defined() ? logical_and(seen, t) : t; };
  if (c.integer("is_causal", 0) != 0) also(less_equal(j, i));
  if (left >= 0) also(less_equal(i - j, left));
  if (right >= 0) also(less_equal(j - i, right));
  return seen;
}

// The mask as long as the keys: what it does not reach is hidden.
Tensor full_mask(const Tensor& mask, const Dim& keys) {
  const Dim size = mask.dim(-1);
  if (!size.is_const() || !keys.is_const() || size == Dim(1) || size.value() >= keys.value()) return mask;
  const Shape none(static_cast<size_t>(mask.rank()), Dim(0));
  return pad(mask, none, with_size(none, mask.rank() - 1, keys - size), {},
             mask.dtype() == DType::boolean ? 0 : -kInf);
}

Scores scores_of(Context& c, const Tensor& q, const Tensor& k, const Dim& past) {
  Scores s;
  double scale = c.number("scale", 0.0);
  if (!c.has_attr("scale")) {
    if (!q.dim(3).is_const()) c.unsupported("the head size " + q.dim(3).str() + " must be known");
    scale = 1 / std::sqrt(static_cast<double>(q.dim(3).value()));
  }
  if (!(scale >= 0)) c.unsupported("scale is " + std::to_string(scale));
  const double half = std::sqrt(scale);
  s.plain = matmul(q * half, transpose(k * half, -1, -2));
  const double cap = c.number("softcap", 0.0);
  s.capped = cap > 0 ? cap * tanh(s.plain / cap) : s.plain;
  s.masked = s.capped;
  if (const Tensor mask = c.optional(3); mask.defined()) {
    const Tensor whole = full_mask(mask, k.dim(2));
    s.masked = mask.dtype() == DType::boolean ? where(whole, s.masked, -kInf) : s.masked + whole;
    s.may_be_empty = true;
  }
  const Tensor lengths = c.optional(6);  // keys that count, for each sample of a cache kept outside
  Tensor offset = past.is_const() ? full({}, static_cast<double>(past.value()), DType::i64) : extent(past);
  if (lengths.defined()) {
    const Tensor count = reshape(cast(lengths, DType::i64), {lengths.dim(0), 1, 1, 1});
    s.masked = where(less(iota({k.dim(2)}, 0), count), s.masked, -kInf);
    if (past == Dim(0)) offset = count - extent(q.dim(2));
    s.may_be_empty = true;
  }
  if (const Tensor seen = visible(c, s.masked, offset); seen.defined())
    s.masked = where(seen, s.masked, -kInf);
  s.may_be_empty =
      s.may_be_empty || c.integer("left_window_size", -1) >= 0 || c.integer("right_window_size", -1) >= 0;
  return s;
}

std::vector<Tensor> attended(Context& c) {
  const bool rows = c.in(0).rank() == 3;
  const Tensor q = split_heads(c, c.in(0), "q_num_heads");
  Tensor k = split_heads(c, c.in(1), "kv_num_heads"), v = split_heads(c, c.in(2), "kv_num_heads");
  Dim past = 0;
  if (c.has(4) != c.has(5)) c.invalid("past_key and past_value must come together");
  if (c.has(4)) {
    past = c.in(4).dim(2);
    k = concat({c.in(4), k}, 2);
    v = concat({c.in(5), v}, 2);
  }
  const Tensor present_k = k, present_v = v;
  k = repeat_heads(c, k, q.dim(1));
  v = repeat_heads(c, v, q.dim(1));
  const Scores s = scores_of(c, q, k, past);
  const DType precision = c.dtype("softmax_precision", q.dtype());
  Tensor p = softmax(cast(s.masked, precision), -1);
  if (s.may_be_empty) p = where(equal(max(s.masked, {-1}, true), -kInf), 0, p);
  p = cast(p, q.dtype());
  Tensor y = matmul(p, v);
  if (rows) y = flatten(transpose(y, 1, 2), 2, 3);
  const int64_t mode = c.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) c.invalid("qk_matmul_output_mode is " + std::to_string(mode));
  const Tensor shown[] = {s.plain, s.capped, s.masked, p};
  return {y, present_k, present_v, shown[mode]};
}

// x [B, heads, L, D] or [B, L, heads * D] turned by angles whose cosines and sines are given.
Tensor rotated(Context& c) {
  const Tensor given = c.in(0);
  Tensor x = given, cosine = c.in(1), sine = c.in(2);
  const bool rows = x.rank() == 3;
  if (rows) {
    const int64_t heads = c.integer("num_heads", 0);
    const auto each = heads > 0 ? exact_div(x.dim(2), heads) : std::nullopt;
    if (!each) c.invalid("num_heads is " + std::to_string(heads) + " for a size of " + x.dim(2).str());
    x = reshape(x, {x.dim(0), x.dim(1), heads, *each});
  } else if (x.rank() != 4) {
    c.invalid("the operand has rank " + std::to_string(x.rank()) + ", 3 or 4 is needed");
  }
  if (c.has(3)) {
    cosine = gather(cosine, positions(c, 3, cosine.dim(0)));
    sine = gather(sine, positions(c, 3, sine.dim(0)));
  }
  cosine = unsqueeze(cosine, rows ? 2 : 1);
  sine = unsqueeze(sine, rows ? 2 : 1);
  const int64_t part = c.integer("rotary_embedding_dim", 0);
  const Dim size = x.dim(3), turned = part > 0 ? Dim(part) : size;
  const auto half = exact_div(turned, 2);
  if (!half) c.invalid("the rotated size " + turned.str() + " is not even");
  const bool pairs = c.integer("interleaved", 0) != 0;
  const Tensor a = pairs ? slice(x, -1, 0, turned, 2) : slice(x, -1, 0, *half);
  const Tensor b = pairs ? slice(x, -1, 1, turned, 2) : slice(x, -1, *half, turned);
  const Tensor first = a * cosine - b * sine, second = a * sine + b * cosine;
  Tensor y = pairs ? flatten(stack({first, second}, -1), 3, 4) : concat({first, second}, -1);
  if (turned != size) y = concat({y, slice(x, -1, turned, size)}, -1);
  return rows ? reshape(y, given.shape()) : y;
}

}  // namespace

FOVEA_ONNX(Attention) { return attended(c); }
FOVEA_ONNX(RotaryEmbedding) { return {rotated(c)}; }

}  // namespace fovea::onnx
