#include "ops/composite/dropout/dropout.h"

#include <cmath>

#include "ops/core/cast/cast.h"
#include "ops/core/full/full.h"
#include "ops/core/less/less.h"
#include "ops/core/mul/mul.h"
#include "ops/core/rand_bits/rand_bits.h"
#include "ops/core/where/where.h"
#include "ops/shared/blocks.h"
#include "ops/shared/norms.h"
#include "ops/shared/random_scope.h"

namespace fovea {
namespace {

constexpr double kSteps = 1 << 24;  // values that uniform numbers take

// What uniform < p says of the bits: bits < threshold. Uniform numbers are the upper 24 bits of bits + 2^31.
int64_t bit_threshold(double p) {
  const auto below = static_cast<int64_t>(std::ceil(static_cast<double>(static_cast<float>(p)) * kSteps));
  return below * 256 - (int64_t{1} << 31);
}

bool drops_all(double p) { return static_cast<float>(p) >= 1; }

}  // namespace

FOVEA_OP(dropout) {
  op.doc(
        "y = x / (1 - p) where a uniform number of the stream (key, step, ordinal) is at least p, else 0 "
        "(Srivastava et al. 2014). The gradient is the same op on g.")
      .input("x", Types::floating)
      .input("key", Types::integer)
      .attr("p", 0.5, "probability of 0")
      .attr("ordinal", 0, "the stream: different numbers, independent values")
      .random()
      .infer([](InferContext& c) {
        const double p = c.attrs.number("p");
        if (!(p >= 0 && p <= 1)) c.fail("p " + std::to_string(p) + " is not between 0 and 1");
        if (c.dtype(1) != DType::i64 || c.rank(1) != 1)
          c.fail("key must be i64[2], got " + to_string(c.in[1]));
        c.same(c.shape(1)[0], 2, "key must have 2 elements (key, step), got {a}");
        if (c.attrs.integer("ordinal") < 0)
          c.fail("ordinal " + std::to_string(c.attrs.integer("ordinal")) + " is negative");
        c.output(c.in[0]);
      })
      .decompose([](const OpArgs& a) {
        const double p = a.attrs.number("p");
        if (drops_all(p)) return Tensors{zeros_like(a.in[0])};
        const Tensor bits = rand_bits(a.in[1], a.in[0].shape(), a.attrs.integer("ordinal"));
        const Tensor dropped = less(bits, bit_threshold(p));
        return Tensors{cast(where(dropped, 0.0, to_row_type(a.in[0]) * (1 / (1 - p))), a.in[0].dtype())};
      })
      .gradient([](const GradArgs& a) {
        return Tensors{apply1("dropout", {a.grad[0], a.in[1]}, a.attrs)};
      })
      .sample({In{4, 5}, ints({2}, 0, 100)}, {{"p", 0.3}})
      .sample({In{6}, ints({2}, 0, 100)}, {{"p", 0.0}, {"ordinal", 2}})
      .sample({In{3}, ints({2}, 0, 100)}, {{"p", 1.0}})
      .sample_error({In{3}, ints({2}, 0, 100)}, {{"p", 1.5}}, "p 1.500000 is not between 0 and 1")
      .sample_error({In{3}, ints({3}, 0, 100)}, {}, "key must have 2 elements (key, step), got 3");
}

FOVEA_KERNEL(cpu, dropout, simd) {
  kernel.in_place(0).prepare([](const KernelRequest& r) {
    const Blocks blocks(r.in[0].size(), 16384);
    const double p = r.attrs.number("p");
    return make_prepared([blocks, dtype = r.in[0].dtype, p = static_cast<float>(p),
                          scale = drops_all(p) ? 0.0 : 1 / (1 - p),
                          ordinal = r.attrs.integer("ordinal")](const KernelArgs& args) {
      const auto stream = random_stream(args.in[1], ordinal);
      const int64_t bytes = size_of(dtype);
      for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
        simd::dropout(dtype, stream, static_cast<uint64_t>(begin), static_cast<uint64_t>(end),
                      args.input<char>(0) + begin * bytes, args.output<char>(0) + begin * bytes, p, scale);
      });
    });
  });
}

Tensor dropout(const Arg& x, const Tensor& key, double p) { return dropout(x, key, p, next_ordinal(key)); }
Tensor dropout(const Arg& x, const Tensor& key, double p, int64_t ordinal) {
  return apply1("dropout", {to_tensor(x, DType::f32), key}, {{"p", p}, {"ordinal", ordinal}}, x.source);
}

}  // namespace fovea
