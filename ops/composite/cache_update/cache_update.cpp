#include "ops/composite/cache_update/cache_update.h"

#include <cstring>

#include "framework/backend/kernel.h"
#include "graph/ir/op.h"
#include "ops/composite/greater_equal/greater_equal.h"
#include "ops/core/add/add.h"
#include "ops/core/cast/cast.h"
#include "ops/core/extent/extent.h"
#include "ops/core/full/full.h"
#include "ops/core/iota/iota.h"
#include "ops/core/less/less.h"
#include "ops/core/logical_and/logical_and.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/scatter_add/scatter_add.h"
#include "ops/core/sub/sub.h"
#include "ops/core/where/where.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  const int64_t axis = c.axis("axis", c.rank(0));
  c.same_dtype(0, 1);
  if (c.rank(0) != c.rank(1))
    c.fail("cache has rank " + std::to_string(c.rank(0)) + ", updates have rank " +
           std::to_string(c.rank(1)));
  if (c.rank(2) != 0) c.fail("position must be a scalar, got rank " + std::to_string(c.rank(2)));
  for (int64_t d = 0; d < c.rank(0); ++d)
    if (d != axis)
      c.same(c.shape(0)[d], c.shape(1)[d], "axis " + std::to_string(d) + " of cache is {a}, of updates {b}");
  const Dim room = c.shape(0)[axis] - c.shape(1)[axis];
  if (room.is_const() && room.value() < 0)
    c.fail(c.shape(1)[axis].str() + " updates do not fit into axis " + std::to_string(axis) + " of size " +
           c.shape(0)[axis].str());
  c.output(c.in[0]);
}

Tensors decompose(const OpArgs& a) {
  const Tensor &cache = a.in[0], &updates = a.in[1];
  const int64_t axis = a.attrs.integer("axis");
  const Tensor first = cast(a.in[2], DType::i64);
  const Tensor offset = arange(cache.dim(axis)) - first;
  Shape along(cache.rank(), Dim(1));
  along[axis] = cache.dim(axis);
  const Tensor written = reshape(offset >= 0 && offset < extent(updates.dim(axis)), along);
  const Tensor places = arange(updates.dim(axis)) + first;
  return {where(written, scatter_add(zeros_like(cache), places, updates, axis), cache)};
}

}  // namespace

FOVEA_OP(cache_update) {
  op.doc("The cache with updates written over its elements position, position + 1, ... along one axis.")
      .input("cache", Types::numeric)
      .input("updates", Types::numeric)
      .input("position", Types::index)
      .output("y")
      .attr("axis", 0)
      .infer(infer)
      .decompose(decompose)
      .sample({In{2, 5, 3}, In{2, 1, 3}, ints({}, 0, 5)}, {{"axis", 1}})
      .sample({In{4, 3}, In{2, 3}, ints({}, 0, 3, DType::i32)})
      .sample_error({In{4, 3}, In{2, 2}, ints({}, 0, 3)}, {}, "axis 1 of cache is 3, of updates 2")
      .sample_error({In{4, 3}, In{5, 3}, ints({}, 0, 1)}, {}, "5 updates do not fit into axis 0 of size 4")
      .sample_error({In{4, 3}, In{2, 3}, ints({1}, 0, 1)}, {}, "position must be a scalar, got rank 1");
}

FOVEA_KERNEL(cpu, cache_update, rows) {
  kernel.in_place(0).prepare([](const KernelRequest& r) {
    const OperandSpec &cache = r.in[0], &updates = r.in[1];
    const int64_t axis = r.attrs.integer("axis"), size = cache.shape[axis], count = updates.shape[axis];
    int64_t outer = 1, row = size_of(cache.dtype);
    for (int64_t d = 0; d < cache.rank(); ++d)
      if (d != axis) (d < axis ? outer : row) *= cache.shape[d];
    return make_prepared([=, bytes = cache.nbytes(), type = r.in[2].dtype](const KernelArgs& args) {
      const int64_t at = index_at(type, args.in[2], 0);
      if (count > 0 && (at < 0 || at > size - count))
        invalid("cache_update: position " + std::to_string(at) + " with " + std::to_string(count) +
                " new entries is out of range for axis of size " + std::to_string(size));
      if (args.in[0] != args.out[0] && bytes > 0) std::memcpy(args.out[0], args.in[0], bytes);
      if (count * row == 0) return;
      for (int64_t o = 0; o < outer; ++o)
        std::memcpy(args.output<char>(0) + (o * size + at) * row, args.input<char>(1) + o * count * row,
                    count * row);
    });
  });
}

Tensor cache_update(const Arg& cache, const Tensor& updates, const Tensor& position, int64_t axis) {
  return apply1("cache_update", {to_tensor(cache, updates.dtype()), updates, position}, {{"axis", axis}},
                cache.source);
}

}  // namespace fovea
