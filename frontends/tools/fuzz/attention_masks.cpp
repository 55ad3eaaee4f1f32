#include "frontends/tools/fuzz/attention_masks.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fovea::tools {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kLowestBf16 = -3.3895313892515355e38;

}  // namespace

// ---- conditions

Tensor AttentionMasks::another() {
  switch (r_.below(3)) {
    case 0:
      return layout_.fit(given());
    case 1:
      return layout_.fit(structured());
    default:
      return layout_.fit(by_position());
  }
}

Tensor AttentionMasks::by_position() {
  const Dim queries = layout_.queries, keys = layout_.keys, batch = layout_.batch;
  const Tensor i = query_places(), j = key_places();
  switch (r_.below(10)) {
    case 0:
      return i >= j;
    case 1:
      return tril(full({queries, keys}, 1, DType::boolean)).reshape({1, 1, queries, keys});
    case 2:
      return j < arguments_.integers({batch, 1, 1, 1}, 1, layout_.most_keys);
    case 3: {  // a buffer that is larger
      const Tensor buffer = tril(full({1, 1, 8, 8}, 1, DType::boolean));
      return slice(slice(buffer, 2, 0, queries), 3, 0, keys);
    }
    case 4:  // a prefix that all see
      return logical_or(i >= j, j < 2);
    case 5:  // dilated, with a token that all see
      return logical_or(equal(mod(i - j, 2), 0), equal(j, 0));
    case 6: {  // sliding window
      const Tensor distance = i - j;
      return logical_and(distance<2, distance> - 2);
    }
    case 7:
      return abs(j - i) <= 1;
    case 8:  // numbers in triangles
      return equal(triu(full({queries, keys}, 1.0), 1).reshape({1, 1, queries, keys}), 0.0);
    default:
      return equal(floor_div(i, 2), floor_div(j, 2));
  }
}

// Masks that come from outside.
Tensor AttentionMasks::given() {
  const Dim queries = layout_.queries, keys = layout_.keys, batch = layout_.batch;
  switch (r_.below(9)) {
    case 0:
      return arguments_.keep_mask(layout_.over(true, false, false, true));
    case 1:
      return arguments_.keep_mask(layout_.over(r_.one_in(2), r_.one_in(3), true, true));
    case 2: {  // packed documents
      const Tensor rows = arguments_.integers({batch, 1, queries, 1}, 0, 1),
                   columns = arguments_.integers({batch, 1, 1, keys}, 0, 1);
      return equal(rows, columns);
    }
    case 3: {  // a table of blocks of two keys
      const Tensor table = arguments_.keep_mask({1, layout_.heads, queries, 4});
      return gather(table, floor_div(iota({keys}), 2), 3);
    }
    case 4: {  // one axis a batch and a token
      const Tensor m = arguments_.keep_mask({batch, keys});
      return r_.one_in(2) ? m.reshape({batch, 1, 1, keys}) : unsqueeze(unsqueeze(m, 1), 1);
    }
    case 5: {  // integers, one for what is kept
      const Tensor m = arguments_.integers(layout_.over(true, false, r_.one_in(2), true), 0, 1);
      return r_.one_in(3) ? cast(m, DType::boolean) : r_.one_in(2) ? not_equal(m, 0) : equal(m, 1);
    }
    case 6: {  // numbers, one for what is dropped
      const Tensor m = cast(arguments_.keep_mask(layout_.over(true, false, r_.one_in(2), true)), DType::f32);
      return m > 0.5;
    }
    case 7: {  // padding of both sides: whole rows are empty
      const Tensor of_rows = arguments_.keep_mask({batch, queries}),
                   of_keys = arguments_.keep_mask({batch, keys});
      return logical_and(of_rows.reshape({batch, 1, queries, 1}), of_keys.reshape({batch, 1, 1, keys}));
    }
    default: {
      const Tensor m = arguments_.keep_mask({batch, 1, keys});
      return broadcast_to(unsqueeze(m, 2), {batch, 1, queries, keys});
    }
  }
}

// Masks that the graph holds as constants, with structure and without.
Tensor AttentionMasks::structured() {
  if (arguments_.symbols) return given();
  const int64_t queries = arguments_.number(layout_.queries), keys = arguments_.number(layout_.keys);
  Array a(DType::boolean, {1, 1, queries, keys});
  // The first query keeps the first key: where all is masked there is no attention.
  const int64_t what = r_.below(7), shift = r_.between(0, 1);
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j) {
      const bool kinds[] = {j <= i + shift, j >= i,          std::abs(i - j) <= 1,   j / 2 == i / 2,
                            j < keys - 1,   j < 1 || j <= i, !r_.one_in(4) || i == j};
      a.set_flat(i * keys + j, kinds[what] || i + j == 0);
    }
  const Tensor m = arguments_.constant(a);
  return r_.one_in(3) ? cast(arguments_.constant(a.cast(DType::f32)), DType::boolean) : m;
}

// ---- into the scores

Tensor AttentionMasks::fill_in(const Tensor& s, const Tensor& keep) {
  const double finite = std::isinf(fill) ? -1e4 : fill;
  const DType type = s.dtype();
  switch (r_.below(9)) {
    case 0:
      return where(logical_not(keep), fill, s);
    case 1:
      return s + (1.0 - cast(keep, type)) * finite;
    case 2:
      return where(keep, full({}, 0.0, type), full({}, fill, type)) + s;
    case 3:
      return s - cast(logical_not(keep), type) * -finite;
    case 4:
      return s + log(cast(keep, type));
    case 5: {  // what is dropped, as numbers, then as a condition again
      const Tensor drop = 1.0 - cast(keep, type);
      return where(cast(drop, DType::boolean), fill, s);
    }
    default:
      return where(keep, s, fill);
  }
}

// Masks that are numbers from the start.
Tensor AttentionMasks::added(const Tensor& s) {
  const Shape shape = layout_.over(true, false, r_.one_in(2), true);
  if (r_.one_in(2)) return s + layout_.fit(arguments_.additive_mask(shape));
  const Tensor m = arguments_.integers(shape, 0, 1);
  return s + layout_.fit((1.0 - cast(m, s.dtype())) * -1e4);
}

Tensor AttentionMasks::masked(const Tensor& s) {
  if (r_.one_in(3)) return s;
  if (r_.one_in(8)) return added(s);
  fill = r_.of({-kInf, -kInf, -1e9, -1e4, -1e30, -65504.0, -3.4028234663852886e38});
  if (s.dtype() == DType::f16 && fill < -65504) fill = -kInf;
  // As torch.finfo(dtype).min: rounded to minus infinity, 0 times the fill would be no number.
  if (s.dtype() == DType::bf16 && std::isfinite(fill)) fill = std::max(fill, kLowestBf16);
  mask = another();
  switch (r_.below(6)) {
    case 0:
      mask = logical_and(mask, another());
      break;
    case 1:  // one after the other
      return fill_in(fill_in(s, mask), another());
    case 2:  // before the scale
      return fill_in(s, mask) * 0.5;
    default:
      break;
  }
  return fill_in(s, mask);
}

}  // namespace fovea::tools
