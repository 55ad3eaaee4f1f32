// Ops that read or write elements by position: Gather, Scatter and their families.
#include <limits>

#include "frontends/import/onnx/ops/common.h"
#include "frontends/import/onnx/ops/grids.h"

namespace fovea::onnx {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Shape part(const Shape& shape, int64_t first, int64_t last) {
  return Shape(shape.begin() + first, shape.begin() + last);
}

Shape joined(Shape a, const Shape& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Since opset 11 negative positions count from the end.
bool signed_positions(const Context& c) { return c.opset() >= 11; }

Tensor gathered(Context& c) {
  const Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  if (const auto at = c.known(1); at && at->shape.empty() && at->is_const())
    return select_index(x, axis, at->values[0]);  // a view
  return gather(x, positions(c, 1, x.dim(axis), signed_positions(c)), axis);
}

Tensor gathered_elements(Context& c) {
  Tensor x = c.in(0);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  const Tensor at = positions(c, 1, x.dim(axis));
  if (at.rank() != x.rank())
    c.invalid("indices have rank " + std::to_string(at.rank()) + ", the data " + std::to_string(x.rank()));
  for (int64_t d = 0; d < x.rank(); ++d)  // indices may leave the ends of other axes out
    if (d != axis && at.dim(d) != x.dim(d)) x = slice(x, d, 0, at.dim(d));
  return take_along_axis(x, at, axis);
}

// The rows of a matrix that index vectors [..., K] name: data [batch..., D1, ..., DK, row...] seen as
// [rows, row size].
struct Rows {
  Shape shape;      // of the data
  int64_t depth;    // K
  int64_t batch;    // how many leading axes data and indices share
  Shape named;      // D1, ..., DK
  Shape row;        // what one index vector names
  Dim count, size;  // rows, and elements of one
  Tensor at;        // i64 [number of index vectors]
};

Rows rows_of(Context& c, const Tensor& x, int64_t batch) {
  Tensor at = c.in(1);
  const int64_t rank = x.rank();
  if (at.rank() < 1 || rank < 1) c.invalid("data and indices need at least one axis");
  const Dim depth = at.dim(-1);
  if (!depth.is_const()) c.unsupported("the last axis of the indices has the unknown size " + depth.str());
  const int64_t k = depth.value();
  if (batch < 0 || batch >= at.rank() || k < 1 || k > rank - batch)
    c.invalid("index vectors of " + std::to_string(k) + " numbers and " + std::to_string(batch) +
              " batch axes for data of rank " + std::to_string(rank));
  const Shape shape = x.shape(), vectors = part(at.shape(), 0, at.rank() - 1);
  Rows r{shape, k, batch, part(shape, batch, batch + k), part(shape, batch + k, rank), {}, {}, {}};
  r.count = product(part(shape, 0, batch + k));
  r.size = product(r.row);
  at = cast(at, DType::i64);
  Tensor flat;
  const Shape ones(vectors.size(), Dim(1));
  for (int64_t d = 0; d < k; ++d) {
    const Tensor size = extent(r.named[static_cast<size_t>(d)]);
    Tensor i = select_index(at, -1, d);
    i = where(less(i, 0), i + size, i);
    // A position out of range stays one: it must not reach into another row.
    i = where(logical_and(less(-1, i), less(i, size)), i, extent(r.count) * -2);
    flat = flat.defined() ? flat * size + i : i;
  }
  if (batch > 0) {
    const Dim outer = product(part(shape, 0, batch)), inner = product(part(vectors, batch, vectors.size()));
    const Tensor first = iota({outer, 1}, 0) * extent(product(r.named));
    flat = reshape(flat, {outer, inner}) + first;
  }
  r.at = reshape(flat, {product(vectors)});
  return r;
}

Tensor gathered_nd(Context& c) {
  const Tensor x = c.in(0);
  const Rows r = rows_of(c, x, c.integer("batch_dims", 0));
  const Shape vectors = c.in(1).shape();
  const Tensor y = gather(reshape(x, {r.count, r.size}), r.at);
  return reshape(y, joined(part(vectors, 0, static_cast<int64_t>(vectors.size()) - 1), r.row));
}

// hit[i, r]: update i goes to row r. Quadratic in memory: only for reductions that no op computes.
Tensor hits(const Tensor& at, const Dim& rows) {
  return equal(reshape(at, {at.dim(0), 1, 1}), iota({rows, 1}, 0));
}

// x [rows, size] with updates [n, size] put into, added to, ... the rows `at` [n].
Tensor scattered(Context& c, const Tensor& x, const Tensor& at, const Tensor& updates) {
  const std::string reduction = c.text("reduction", "none");
  if (x.dtype() == DType::boolean) {
    if (reduction != "none") c.unsupported("reduction \"" + reduction + "\" of bools");
    return cast(scattered(c, cast(x, DType::u8), at, cast(updates, DType::u8)), DType::boolean);
  }
  if (reduction == "add") return scatter_add(x, at, updates);
  if (reduction == "none") {  // each row is named once
    const Tensor once = scatter_add(zeros({x.dim(0)}, DType::i32), at, ones({at.dim(0)}, DType::i32));
    const Tensor hit = reshape(greater(once, 0), {x.dim(0), 1});
    return where(hit, scatter_add(full_like(x, is_floating(x.dtype()) ? -0.0 : 0), at, updates), x);
  }
  const Tensor hit = hits(at, x.dim(0)), each = reshape(updates, {at.dim(0), 1, x.dim(1)});
  if (reduction == "mul") return x * prod(where(hit, each, ones({}, x.dtype())), {0});
  if (reduction == "max") return maximum(x, max(where(hit, each, reshape(x, {1, x.dim(0), x.dim(1)})), {0}));
  if (reduction == "min") return minimum(x, min(where(hit, each, reshape(x, {1, x.dim(0), x.dim(1)})), {0}));
  c.invalid("reduction is \"" + reduction + "\"");
}

// Elements that go to one place along `axis`, or to known places that no two share: what every other axis
// says of them is where they stand.
std::optional<Tensor> put_along(Context& c, const Tensor& x, const Tensor& updates, int64_t axis) {
  const Tensor at = c.in(1);
  if (at.rank() != x.rank() || updates.shape() != at.shape()) return {};
  const auto line = line_of(at);
  if (!line || (line->axis >= 0 && line->axis != axis)) return {};
  std::vector<Line> lines;
  for (int64_t d = 0; d < x.rank(); ++d) lines.push_back({d, at.dim(d), 0, {}});
  if (line->count != at.dim(axis)) return {};  // the same place again
  lines[static_cast<size_t>(axis)] = *line;
  return put_on_grid(x, updates, lines, c.text("reduction", "none"));
}

Tensor scattered_elements(Context& c) {
  const Tensor x = c.in(0), updates = c.in(2);
  const int64_t axis = axis_of(c, c.integer("axis", 0), x.rank());
  if (auto y = put_along(c, x, updates, axis)) return *y;
  const Tensor given = positions(c, 1, x.dim(axis), signed_positions(c));
  if (given.rank() != x.rank() || updates.rank() != x.rank())
    c.invalid("data, indices and updates have ranks " + std::to_string(x.rank()) + ", " +
              std::to_string(given.rank()) + " and " + std::to_string(updates.rank()));
  // Where each update goes in x seen as one row.
  const Tensor i = cast(given, DType::i64), size = extent(x.dim(axis));
  Tensor flat;
  for (int64_t d = 0; d < x.rank(); ++d) {
    const Tensor at =
        d != axis ? iota(given.shape(), d)
                  : where(logical_and(less(-1, i), less(i, size)), i, extent(product(x.shape())) * -2);
    flat = flat.defined() ? flat * extent(x.dim(d)) + at : at;
  }
  const Dim count = product(given.shape()), elements = product(x.shape());
  const Tensor y =
      scattered(c, reshape(x, {elements, 1}), reshape(flat, {count}), reshape(updates, {count, 1}));
  return reshape(y, x.shape());
}

Tensor scattered_nd(Context& c) {
  const Tensor x = c.in(0), updates = c.in(2);
  if (const auto grid = grid_of(c.in(1)))
    if (auto y = put_on_grid(x, updates, *grid, c.text("reduction", "none"))) return *y;
  const Rows r = rows_of(c, x, 0);
  const Tensor rows = reshape(updates, {r.at.dim(0), r.size});
  return reshape(scattered(c, reshape(x, {r.count, r.size}), r.at, rows), x.shape());
}

Tensor one_hot_of(Context& c) {
  Tensor at = c.in(0);
  const Tensor values = c.in(2);
  const int64_t axis = axis_of(c, c.integer("axis", -1), at.rank() + 1);
  Dim depth = 0;
  if (const auto given = c.known(1); given && given->values.size() == 1) {
    depth = given->values[0];
  } else {
    const double number = c.const_number(1);
    if (!(number >= 0 && number < INT32_MAX)) c.invalid("depth is " + std::to_string(number));
    depth = static_cast<int64_t>(number);
  }
  if (values.rank() != 1 || values.dim(0) != Dim(2))
    c.invalid("values have the shape " + to_string(values.shape()) + ", [2] is needed");
  at = cast(at, DType::i64);
  const Tensor hot = one_hot(where(less(at, 0), at + extent(depth), at), depth, DType::boolean);
  return where(move_axis(hot, -1, axis), select_index(values, 0, 1), select_index(values, 0, 0));
}

// The elements that a known condition chooses.
Tensor compressed(Context& c) {
  Tensor x = c.in(0);
  const auto condition = c.evaluated(1);
  if (!condition)
    c.unsupported("its condition, which decides the result's size, must be known when the model is read");
  const bool flat = !c.has_attr("axis");
  if (flat) x = reshape(x, {product(x.shape())});
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < condition->size(); ++i)
    if (condition->contiguous().get_flat(i) != 0) chosen.push_back(i);
  const int64_t count = static_cast<int64_t>(chosen.size());
  return gather(x, Array::of(chosen, {count}), flat ? 0 : axis_of(c, c.integer("axis"), x.rank()));
}

Tensor where_nonzero(Context& c) {
  const auto x = c.evaluated(0);
  if (!x) c.unsupported("its operand, which decides the result's size, must be known when the model is read");
  const Array a = x->contiguous();
  std::vector<std::vector<int64_t>> found(static_cast<size_t>(a.rank()));
  int64_t count = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    if (a.get_flat(i) == 0) continue;
    ++count;
    int64_t rest = i;
    for (int64_t d = a.rank() - 1; d >= 0; --d) {
      found[static_cast<size_t>(d)].push_back(rest % a.shape()[static_cast<size_t>(d)]);
      rest /= a.shape()[static_cast<size_t>(d)];
    }
  }
  std::vector<int64_t> all_of;
  for (const auto& row : found) all_of.insert(all_of.end(), row.begin(), row.end());
  return Array::of(all_of, {a.rank(), count});
}

// The first lengths[b] elements along the time axis of each sequence, turned round.
Tensor reversed_sequences(Context& c) {
  const Tensor x = c.in(0);
  const int64_t batch = c.integer("batch_axis", 1), time = c.integer("time_axis", 0);
  if (x.rank() < 2 || batch + time != 1 || batch * time != 0)
    c.invalid("batch_axis and time_axis must be 0 and 1 of an operand of rank 2 or more");
  const Tensor lengths = unsqueeze(cast(c.in(1), DType::i64), time);
  const Tensor step = iota({x.dim(0), x.dim(1)}, time);
  const Tensor at = where(less(step, lengths), lengths - 1 - step, step);
  Shape shape{x.dim(0), x.dim(1)};
  shape.insert(shape.end(), static_cast<size_t>(x.rank() - 2), Dim(1));
  return take_along_axis(x, broadcast_to(reshape(at, shape), x.shape()), time);
}

// A cache with `updates` in place of its elements from each sample's position on.
Tensor cache_written(Context& c) {
  const Tensor cache = c.in(0), updates = c.in(1);
  const int64_t axis = axis_of(c, c.integer("axis", -2), cache.rank());
  const std::string mode = c.text("mode", "linear");
  if (mode != "linear" && mode != "circular") c.invalid("mode is \"" + mode + "\"");
  if (axis == 0 || updates.rank() != cache.rank()) c.invalid("updates and cache do not fit");
  const Shape ones(static_cast<size_t>(cache.rank()), Dim(1));
  const Tensor size = extent(cache.dim(axis)), count = extent(updates.dim(axis));
  Tensor at = iota(with_size(ones, axis, cache.dim(axis)), axis);  // which update each element gets
  if (c.has(2)) at = at - reshape(cast(c.in(2), DType::i64), with_size(ones, 0, cache.dim(0)));
  if (mode == "circular") at = mod(at, size);
  const Tensor fresh = logical_and(less(-1, at), less(at, count));
  const Tensor from = broadcast_to(where(fresh, at, 0), cache.shape());
  return where(fresh, take_along_axis(updates, from, axis), cache);
}

}  // namespace

FOVEA_ONNX(TensorScatter) { return {cache_written(c)}; }
FOVEA_ONNX(Gather) { return {gathered(c)}; }
FOVEA_ONNX(GatherElements) { return {gathered_elements(c)}; }
FOVEA_ONNX(GatherND) { return {gathered_nd(c)}; }
FOVEA_ONNX(Scatter) { return {scattered_elements(c)}; }
FOVEA_ONNX(ScatterElements) { return {scattered_elements(c)}; }
FOVEA_ONNX(ScatterND) { return {scattered_nd(c)}; }
FOVEA_ONNX(OneHot) { return {one_hot_of(c)}; }
FOVEA_ONNX(Compress) { return {compressed(c)}; }
FOVEA_ONNX(NonZero) { return {where_nonzero(c)}; }
FOVEA_ONNX(ReverseSequence) { return {reversed_sequences(c)}; }

}  // namespace fovea::onnx
