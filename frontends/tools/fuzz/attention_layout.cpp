#include "frontends/tools/fuzz/attention_layout.h"

#include <algorithm>
#include <string>

namespace fovea::tools {

// ---- arguments

Tensor Arguments::argument(const Shape& shape, Array numbers) {
  const DType type = numbers.dtype();
  fuzz_.arguments.push_back(std::move(numbers));
  return builder_.input("", {type, shape});
}
Tensor Arguments::real(const Shape& shape) {
  return argument(shape, random_array(r_, type, evaluate(shape, fuzz_.sizes), false));
}
Tensor Arguments::keep_mask(const Shape& shape) {
  Array a(DType::boolean, evaluate(shape, fuzz_.sizes));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, r_.one_in(4) ? 0 : 1);
  return argument(shape, std::move(a));
}
Tensor Arguments::additive_mask(const Shape& shape) {
  Array a(type, evaluate(shape, fuzz_.sizes));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, r_.one_in(4) ? -1e4 : 0);
  return argument(shape, std::move(a));
}
Tensor Arguments::integers(const Shape& shape, int64_t low, int64_t high) {
  Array a(DType::i64, evaluate(shape, fuzz_.sizes));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(r_.between(low, high)));
  return argument(shape, std::move(a));
}
Tensor Arguments::key() { return builder_.constant(Array::of(std::vector<int64_t>{r_.below(99), 3}, {2})); }
int64_t Arguments::number(const Dim& size) const { return *size.eval(fuzz_.sizes); }
Dim Arguments::size(const char* symbol, int64_t n) {
  if (!symbols) return n;
  fuzz_.sizes.emplace_back(symbol, n);
  return sym(symbol);
}

// ---- layouts

AttentionLayout::AttentionLayout(Random& random, Arguments& arguments) : r_(random), arguments_(arguments) {
  arguments.symbols = r_.one_in(4);
  if (r_.one_in(10)) arguments.type = r_.of({DType::f16, DType::bf16, DType::f64});
  batch = arguments.size("B", r_.between(1, 2));
  heads = r_.of({1, 2, 2, 4});
  const int64_t rows = r_.between(1, 4);
  queries = arguments.size("Lq", rows);
  most_keys = r_.one_in(3) ? rows : r_.between(1, 5);
  keys = r_.one_in(3) && most_keys == rows ? queries : arguments.size("Lk", most_keys);
  channels_ = r_.between(1, 4);
  value_channels_ = r_.one_in(3) ? channels_ : r_.between(1, 4);
  choose();
  prologue();
}

void AttentionLayout::choose() {
  switch (r_.below(16)) {
    case 0:
      return folded_batch();
    case 1:
      return one_head();
    case 2:
      return one_sequence();
    case 3:
      return transposed_keys();
    case 4:
    case 5:
      return packed();
    case 6:
      return multi_query_rows();
    case 7:
      return grouped(true);
    case 8:
      return grouped(false);
    case 9:
      return cached();
    case 10:
      multiply_by(r_.of({Product::einsum, Product::letters, Product::transposed, Product::sum}));
      return by_heads();
    case 11:
      return by_heads();
    case 12:
      return pixels();
    case 13:
      return chunks();
    case 14:
      return sequence_first();
    default:
      multiply_by(r_.of({Product::matmul, Product::letters, Product::sum}));
      q = arguments_.real({batch, heads, queries, channels_});
      k = arguments_.real({batch, heads, keys, channels_});
      v = arguments_.real({batch, heads, keys, value_channels_});
  }
}

// A sum over one channel is a mere sum of weights.
void AttentionLayout::multiply_by(Product product) {
  product_ = product;
  if (product == Product::sum) value_channels_ = std::max<int64_t>(value_channels_, 2);
}
// (B, L, H*D) viewed and transposed
Tensor AttentionLayout::split_heads(const Tensor& x, const Dim& length, int64_t channels) const {
  return x.reshape({batch, length, heads, channels}).transpose(1, 2);
}
// An argument of this width, or tokens times a weight.
Tensor AttentionLayout::projected(const Tensor& x, const Dim& length, int64_t width) {
  if (!x.defined()) return arguments_.real({batch, length, width});
  return matmul(x, arguments_.real({x.dim(-1), width}));
}
void AttentionLayout::by_heads() {
  Tensor x, memory;
  if (r_.one_in(3)) {  // self and cross attention with projections
    x = arguments_.real({batch, queries, 3});
    memory = keys == queries && r_.one_in(2) ? x : arguments_.real({batch, keys, 3});
  }
  q = split_heads(projected(x, queries, heads * channels_), queries, channels_);
  k = split_heads(projected(memory, keys, heads * channels_), keys, channels_);
  v = split_heads(projected(memory, keys, heads * value_channels_), keys, value_channels_);
  merge_ = true;
}
// (B*H, L, D); masks have four axes
void AttentionLayout::folded_batch() {
  by_heads();
  const auto fold = [&](const Tensor& x, const Dim& length, int64_t channels) {
    return x.reshape({batch * heads, length, channels});
  };
  q = fold(q, queries, channels_);
  k = fold(k, keys, channels_);
  v = fold(v, keys, value_channels_);
  form_ = Form::folded;
}
void AttentionLayout::one_head() {
  heads = 1;
  q = arguments_.real({batch, queries, channels_});
  k = arguments_.real({batch, keys, channels_});
  v = arguments_.real({batch, keys, value_channels_});
  form_ = Form::one_head;
}
void AttentionLayout::one_sequence() {
  heads = 1, batch = 1;
  q = arguments_.real({queries, channels_});
  k = arguments_.real({keys, channels_});
  v = arguments_.real({keys, value_channels_});
  form_ = Form::one_sequence;
}
void AttentionLayout::transposed_keys() {
  q = arguments_.real({batch, heads, queries, channels_});
  k = arguments_.real({batch, heads, channels_, keys}).transpose(-1, -2);
  v = arguments_.real({batch, heads, keys, value_channels_});
}
void AttentionLayout::packed() {
  keys = queries;
  most_keys = arguments_.number(queries);
  value_channels_ = channels_;
  const int64_t width = heads * channels_;
  const Tensor x = arguments_.real({batch, queries, 3 * width});
  std::vector<Tensor> parts;
  switch (r_.below(8)) {
    case 0:
      parts = split(x, {width, width, width}, -1);
      break;
    case 1:
      parts = chunk(x, 3, -1);
      break;
    case 2:
      for (int64_t i = 0; i < 3; ++i) parts.push_back(slice(x, -1, i * width, (i + 1) * width));
      break;
    case 3:  // q, k and v of one head lie together
      for (int64_t i = 0; i < 3; ++i)
        parts.push_back(
            slice(split_heads(x, queries, 3 * channels_), -1, i * channels_, (i + 1) * channels_));
      break;
    case 4:  // (B, L, H, 3, D)
      parts = unbind(x.reshape({batch, queries, heads, 3, channels_}), 3);
      for (Tensor& p : parts) p = p.transpose(1, 2);
      break;
    case 5:
      parts = unbind(x.reshape({batch, queries, 3, heads, channels_}), 2);
      for (Tensor& p : parts) p = p.permute({0, 2, 1, 3});
      break;
    case 6:  // keys and values together
      parts = split(split_heads(x, queries, 3 * channels_), {channels_, 2 * channels_}, -1);
      parts = {parts[0], slice(parts[1], -1, 0, channels_), slice(parts[1], -1, channels_, 2 * channels_)};
      break;
    default:
      parts = unbind(x.reshape({batch, queries, 3, heads, channels_}).permute({2, 0, 3, 1, 4}), 0);
  }
  for (Tensor& p : parts)
    if (p.rank() == 3) p = split_heads(p, queries, channels_);
  q = parts[0], k = parts[1], v = parts[2];
  merge_ = true;
}
// multi-query: all heads' queries as rows of one matrix
void AttentionLayout::multi_query_rows() {
  q = arguments_.real({batch, queries * heads, channels_});
  k = arguments_.real({batch, keys, channels_});
  v = arguments_.real({batch, keys, value_channels_});
  form_ = Form::rows;
}
// grouped queries: keys repeated by expand and reshape, or a fifth axis that broadcasts
void AttentionLayout::grouped(bool repeated) {
  group_ = heads % 2 == 0 ? 2 : 1;
  const int64_t count = heads / group_;
  q = arguments_.real({batch, heads, queries, channels_});
  k = arguments_.real({batch, count, keys, channels_});
  v = arguments_.real({batch, count, keys, value_channels_});
  const int64_t how = r_.below(4);  // all heads once more, or each head again
  const auto widen = [&](const Tensor& x, int64_t channels) {
    if (repeated && how == 0) return group_ == 1 ? x : concat({x, x}, 1);
    if (repeated && how == 1)
      return broadcast_to(x.reshape({batch, 1, count, keys, channels}),
                          {batch, group_, count, keys, channels})
          .reshape({batch, heads, keys, channels});
    const Tensor five = x.reshape({batch, count, 1, keys, channels});
    if (!repeated) return five;
    return broadcast_to(five, {batch, count, group_, keys, channels}).reshape({batch, heads, keys, channels});
  };
  k = widen(k, channels_);
  v = widen(v, value_channels_);
  if (repeated) return;
  q = q.reshape({batch, count, group_, queries, channels_});
  form_ = Form::five;
}
// decoding: keys and values are those of the past and new ones
void AttentionLayout::cached() {
  const Dim past = keys;
  keys = keys + Dim(1), most_keys += 1;
  const auto grown = [&](int64_t channels) {
    return concat(
        {arguments_.real({batch, heads, past, channels}), arguments_.real({batch, heads, 1, channels})}, 2);
  };
  q = arguments_.real({batch, heads, queries, channels_});
  k = grown(channels_);
  v = grown(value_channels_);
}
// NCHW, one token a pixel
void AttentionLayout::pixels() {
  const auto tokens = [&](int64_t rows, int64_t columns, int64_t channels) {
    return arguments_.real({batch, heads * channels, rows, columns})
        .reshape({batch, heads, channels, rows * columns})
        .transpose(-1, -2);
  };
  const int64_t across = r_.between(1, 2), down = r_.between(1, 2), key_rows = r_.between(1, 3);
  q = tokens(across, down, channels_);
  k = tokens(key_rows, 2, channels_);
  v = tokens(key_rows, 2, value_channels_);
  queries = across * down, keys = most_keys = key_rows * 2;
}
// local attention within chunks of the sequence
void AttentionLayout::chunks() {
  const int64_t count = r_.between(1, 3), length = r_.between(2, 3);
  const auto cut = [&](int64_t channels) {
    return arguments_.real({batch, heads, count * length, channels})
        .reshape({batch, heads, count, length, channels});
  };
  q = cut(channels_);
  k = cut(channels_);
  v = cut(value_channels_);
  group_ = count;
  heads *= count;
  queries = keys = most_keys = length;
  form_ = Form::five;
}
// (B, L, H, D) multiplied where it lies
void AttentionLayout::sequence_first() {
  q = arguments_.real({batch, queries, heads * channels_}).reshape({batch, queries, heads, channels_});
  k = arguments_.real({batch, keys, heads * channels_}).reshape({batch, keys, heads, channels_});
  v = arguments_.real({batch, keys, heads * value_channels_}).reshape({batch, keys, heads, value_channels_});
  product_ = Product::sequence_first;
  merge_ = true;
}

// Rotary positions of tokens on the last axis but one.
Tensor AttentionLayout::turned(const Tensor& x, const Dim& length) const {
  const int64_t half = channels_ / 2;
  const Tensor left = slice(x, -1, 0, half), right = slice(x, -1, half, 2 * half);
  const Tensor angle = cast(iota({length, 1}, 0), x.dtype()) * 0.7;
  return x * cos(angle) + concat({neg(right), left}, -1) * sin(angle);
}
void AttentionLayout::prologue() {
  switch (r_.below(8)) {
    case 0:
      if (channels_ > 1)
        q = rms_norm(q), k = rms_norm(k);  // one channel would be a sign, and noise behind it
      return;
    case 1:
      if (channels_ % 2 != 0 || form_ == Form::rows || product_ == Product::sequence_first) return;
      q = turned(q, queries), k = turned(k, keys);
      return;
    default:
      return;
  }
}

// ---- products

Tensor AttentionLayout::multiply(const Tensor& q, const Tensor& k) const {
  switch (product_) {
    case Product::einsum:
      return einsum("bhqd,bhkd->bhqk", {q, k});
    case Product::letters:
      return einsum("kaqz,kabz->kaqb", {q, k});
    case Product::transposed:
      return matmul(k, q.transpose(-1, -2)).transpose(-1, -2);
    case Product::sum:
      return sum(unsqueeze(q, -2) * unsqueeze(k, -3), {-1});
    case Product::sequence_first:
      return einsum("bqhd,bkhd->bhqk", {q, k});
    default:
      return matmul(q, k.transpose(-1, -2));
  }
}
Tensor AttentionLayout::weigh(const Tensor& p, const Tensor& v) const {
  switch (product_) {
    case Product::einsum:
      return einsum("bhqk,bhkd->bhqd", {p, v});
    case Product::letters:
      return einsum("dcba,dcaz->dcbz", {p, v});
    case Product::transposed:
      return matmul(v.transpose(-1, -2), p.transpose(-1, -2)).transpose(-1, -2);
    case Product::sum:
      return sum(unsqueeze(p, -1) * unsqueeze(v, -3), {-2});
    case Product::sequence_first:
      return einsum("bhqk,bkhd->bqhd", {p, v});
    default:
      return matmul(p, v);
  }
}
Tensor AttentionLayout::merged(const Tensor& y) const {
  if (!merge_ || form_ == Form::folded) return y;
  const Tensor rows = product_ == Product::sequence_first ? y : y.transpose(1, 2);
  return rows.reshape({batch, queries, heads * value_channels_});
}

// ---- masks and biases

Shape AttentionLayout::over(bool of_batch, bool of_head, bool of_query, bool of_key) const {
  return {of_batch ? batch : Dim(1), of_head ? Dim(heads) : Dim(1), of_query ? queries : Dim(1),
          of_key ? keys : Dim(1)};
}
Tensor AttentionLayout::fit(const Tensor& x) const {
  const Shape given = x.shape();
  const bool one_head = given[1] == Dim(1);
  switch (form_) {
    case Form::one_sequence:
      return x.reshape({given[2], given[3]});
    case Form::one_head:
      return x.reshape({given[0], given[2], given[3]});
    case Form::five:
      return x.reshape({given[0], one_head ? Dim(1) : Dim(heads / group_), one_head ? Dim(1) : Dim(group_),
                        given[2], given[3]});
    case Form::folded:
      if (given[0] == Dim(1) && one_head) return x.reshape({1, given[2], given[3]});
      return broadcast_to(x, {batch, heads, given[2], given[3]}).reshape({batch * heads, given[2], given[3]});
    case Form::rows:
      if (one_head && given[2] == Dim(1)) return x.reshape({given[0], 1, given[3]});
      return broadcast_to(x, {given[0], heads, queries, given[3]})
          .reshape({given[0], queries * heads, given[3]});
    default:
      return x;
  }
}

}  // namespace fovea::tools
