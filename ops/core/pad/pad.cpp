#include "ops/core/pad/pad.h"

#include "ops/core/slice/slice.h"
#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  const Shape &low = c.attrs.shape("low"), &high = c.attrs.shape("high");
  Ints interior = c.attrs.ints("interior");
  const size_t rank = c.shape(0).size();
  if (interior.empty()) interior.assign(rank, 0);
  if (low.size() != rank || high.size() != rank || interior.size() != rank)
    c.fail(std::to_string(low.size()) + " low, " + std::to_string(high.size()) + " high and " +
           std::to_string(interior.size()) + " interior sizes for rank " + std::to_string(rank));
  Shape shape;
  for (size_t d = 0; d < rank; ++d) {
    if (interior[d] < 0)
      c.fail("the interior padding of axis " + std::to_string(d) +
             " is negative: " + std::to_string(interior[d]));
    const Dim& n = c.shape(0)[d];
    const Dim spread = n == Dim(0) ? n : n + (n - Dim(1)) * Dim(interior[d]);
    shape.push_back(low[d] + spread + high[d]);
  }
  c.attrs.set("interior", interior);
  c.output(c.dtype(0), shape);
}

// The box of the operand that is left after cropping, and where it lands.
struct Placement {
  Dims shape, from, to;
  int64_t from_offset = 0, to_offset = 0;
};

Placement place(const KernelRequest& r) {
  const Dims low = sizes_of(r.attrs, "low"), step = contiguous_strides(r.out[0].shape);
  const Ints& interior = r.attrs.ints("interior");
  Placement p;
  for (int64_t d = 0; d < r.in[0].rank(); ++d) {
    const int64_t by = interior[d] + 1, n = r.in[0].shape[d], m = r.out[0].shape[d];
    // Element i lands at low + i * by, which must be in [0, m).
    const int64_t first = low[d] >= 0 ? 0 : (-low[d] + by - 1) / by;
    const int64_t end = m - low[d] <= 0 ? 0 : std::min(n, (m - low[d] + by - 1) / by);
    p.shape.push_back(std::max<int64_t>(0, end - first));
    p.from.push_back(r.in[0].strides[d]);
    p.to.push_back(step[d] * by);
    p.from_offset += first * r.in[0].strides[d];
    p.to_offset += (low[d] + first * by) * step[d];
  }
  if (product(p.shape) == 0) p.from_offset = p.to_offset = 0;
  return p;
}

template <class Move>
std::unique_ptr<PreparedKernel> prepare(const KernelRequest& r, Move move) {
  const Array value = Array::full(DType::f64, {}, r.attrs.number("value")).cast(r.out[0].dtype);
  const bool covered = product(place(r).shape) == r.out[0].size();
  return dispatch_bytes(size_of(r.out[0].dtype), [&](auto unit) -> std::unique_ptr<PreparedKernel> {
    using T = decltype(unit);
    const T fill = *static_cast<const T*>(value.raw());
    const Blocks blocks(covered ? 0 : r.out[0].size(), 65536 / sizeof(T));
    return make_prepared([=, p = place(r)](const KernelArgs& args) {
      T* y = args.output<T>(0);
      for_blocks(args.pool, blocks,
                 [&](int64_t, int64_t begin, int64_t end) { std::fill(y + begin, y + end, fill); });
      move(args.input<T>(0) + p.from_offset, y + p.to_offset, args.pool);
    });
  });
}

}  // namespace

FOVEA_OP(pad) {
  op.doc(
        "The operand with `value` before, between (interior) and behind its elements; negative low and high "
        "crop.")
      .input("x")
      .required_attr("low", Shape{})
      .required_attr("high", Shape{})
      .attr("interior", Ints{}, "padding between neighbours; empty: none")
      .attr("value", 0.0)
      .infer(infer)
      .gradient([](const GradArgs& a) {
        const Ints& interior = a.attrs.ints("interior");
        Shape low, high, starts;
        Ints steps;
        bool dilated = false;
        for (size_t d = 0; d < interior.size(); ++d) {
          low.push_back(Dim(0) - a.attrs.shape("low")[d]);
          high.push_back(Dim(0) - a.attrs.shape("high")[d]);
          starts.push_back(0);
          steps.push_back(interior[d] + 1);
          dilated = dilated || interior[d] > 0;
        }
        const Tensor spread = pad(a.grad[0], low, high);
        return Tensors{dilated ? strided_slice(spread, starts, spread.shape(), steps) : spread};
      })
      .sample({In{3}}, {{"low", Shape{1}}, {"high", Shape{2}}})
      .sample({In{2, 3}},
              {{"low", Shape{1, -1}}, {"high", Shape{0, 2}}, {"interior", Ints{2, 1}}, {"value", 0.5}})
      .sample({In{4, 3}}, {{"low", Shape{-1, 0}}, {"high", Shape{-2, 0}}})
      .sample_error({In{3}}, {{"low", Shape{1}}, {"high", Shape{}}},
                    "1 low, 0 high and 1 interior sizes for rank 1")
      .sample_error({In{3}}, {{"low", Shape{-4}}, {"high", Shape{0}}}, "negative size -1");
}

FOVEA_KERNEL(reference, pad, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const Placement p = place(r);
    const StridedLoop<2> loop(p.shape, {p.from, p.to});
    return prepare(r, [loop](const auto* x, auto* y, ThreadPool&) {
      loop.each([&](const auto& at) { y[at[1]] = x[at[0]]; });
    });
  });
}

FOVEA_KERNEL(cpu, pad, rows) {
  kernel.strided().prepare([](const KernelRequest& r) {
    const Placement p = place(r);
    const BoxCopy copy(size_of(r.out[0].dtype), p.shape, p.from, p.to);
    return prepare(r, [copy](const void* x, void* y, ThreadPool& pool) { copy.run(x, y, pool); });
  });
}

Tensor pad(const Arg& x, Shape low, Shape high, std::vector<int64_t> interior, double value) {
  const Tensor t = to_tensor(x, DType::f32);
  return apply1("pad", {t},
                {{"low", std::move(low)},
                 {"high", std::move(high)},
                 {"interior", std::move(interior)},
                 {"value", value}},
                x.source);
}

}  // namespace fovea
