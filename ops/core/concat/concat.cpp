#include "ops/core/concat/concat.h"

#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/cast/cast.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"
#include "ops/shared/box_copy.h"
#include "ops/shared/indexing.h"

namespace fovea {
namespace {

void infer(InferContext& c) {
  if (c.in.empty()) c.fail("takes 1 or more operands, got 0");
  const int64_t axis = c.axis("axis", c.rank(0));
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.in.size(); ++i) {
    const std::string which = "operand " + std::to_string(i);
    if (c.dtype(i) != c.dtype(0))
      c.fail(which + " is " + std::string(to_string(c.dtype(i))) + ", operand 0 is " +
             std::string(to_string(c.dtype(0))));
    if (c.rank(i) != c.rank(0))
      c.fail(which + " has rank " + std::to_string(c.rank(i)) + ", operand 0 has " +
             std::to_string(c.rank(0)));
    for (int64_t d = 0; d < c.rank(0); ++d)
      if (d != axis)
        c.same(c.shape(i)[d], shape[d],
               which + " differs in axis " + std::to_string(d) + ": {a} against {b}");
    shape[axis] = shape[axis] + c.shape(i)[axis];
  }
  c.output(c.dtype(0), shape);
}

// Where operand i begins in the output, and how it is walked.
struct Part {
  int64_t offset;
  Dims shape, strides;
};

std::vector<Part> parts_of(const KernelRequest& r) {
  const int64_t axis = r.attrs.integer("axis"), step = contiguous_strides(r.out[0].shape)[axis];
  std::vector<Part> parts;
  int64_t at = 0;
  for (const OperandSpec& in : r.in) {
    parts.push_back({at * step, in.shape, in.strides});
    at += in.shape[axis];
  }
  return parts;
}

}  // namespace

FOVEA_OP(concat) {
  op.doc("The operands one behind the other along one axis.")
      .variadic_input("x")
      .attr("axis", 0)
      .infer(infer)
      .gradient([](const GradArgs& a) {
        const int64_t axis = a.attrs.integer("axis");
        Shape sizes;
        for (const Tensor& x : a.in) sizes.push_back(x.dim(axis));
        return split(a.grad[0], sizes, axis);
      })
      .sample({In{2, 3}, In{2, 1}}, {{"axis", 1}})
      .sample({In{2, 3}, In{1, 3}, In{0, 3}})
      .sample({In{2}})
      .sample_error({In{2, 3}, In{2, 4}}, {}, "operand 1 differs in axis 1: 4 against 3")
      .sample_error({In{2, 3}, In{2}}, {}, "operand 1 has rank 1, operand 0 has 2")
      .sample_error({In{2, 3}}, {{"axis", 2}}, "axis 2 is out of range for rank 2");
}

FOVEA_KERNEL(reference, concat, loops) {
  kernel.priority(0).strided().prepare([](const KernelRequest& r) {
    const Dims to = contiguous_strides(r.out[0].shape);
    std::vector<StridedLoop<2>> loops;
    std::vector<int64_t> offsets;
    for (const Part& p : parts_of(r)) {
      loops.emplace_back(p.shape, std::array<Dims, 2>{p.strides, to});
      offsets.push_back(p.offset);
    }
    return dispatch_bytes(size_of(r.out[0].dtype), [&](auto unit) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(unit);
      return make_prepared([loops, offsets](const KernelArgs& args) {
        for (size_t i = 0; i < loops.size(); ++i) {
          const T* x = args.input<T>(static_cast<int>(i));
          T* y = args.output<T>(0) + offsets[i];
          loops[i].each([&](const auto& at) { y[at[1]] = x[at[0]]; });
        }
      });
    });
  });
}

FOVEA_KERNEL(cpu, concat, rows) {
  kernel.strided().prepare([](const KernelRequest& r) -> std::unique_ptr<PreparedKernel> {
    const Dims to = contiguous_strides(r.out[0].shape);
    const int64_t bytes = size_of(r.out[0].dtype);
    std::vector<BoxCopy> copies;
    std::vector<int64_t> offsets;
    for (const Part& p : parts_of(r)) {
      copies.emplace_back(bytes, p.shape, p.strides, to);
      offsets.push_back(p.offset * bytes);
    }
    return make_prepared([copies, offsets](const KernelArgs& args) {
      for (size_t i = 0; i < copies.size(); ++i)
        copies[i].run(args.in[i], args.output<char>(0) + offsets[i], args.pool);
    });
  });
}

Tensor concat(const std::vector<Tensor>& parts, int64_t axis, Source source) {
  if (parts.empty()) invalid("concat: takes 1 or more operands, got 0");
  DType dtype = parts[0].dtype();
  for (const Tensor& x : parts) dtype = promote(dtype, x.dtype());
  Tensors same;
  for (const Tensor& x : parts) same.push_back(x.dtype() == dtype ? x : cast(Arg(x, source), dtype));
  return apply1("concat", std::move(same), {{"axis", axis}}, source);
}

Tensor stack(const std::vector<Tensor>& parts, int64_t axis, Source source) {
  if (parts.empty()) invalid("stack: takes 1 or more operands, got 0");
  Tensors wide;
  for (const Tensor& x : parts) {
    if (x.rank() != parts[0].rank())
      invalid("stack: operands have ranks " + std::to_string(parts[0].rank()) + " and " +
              std::to_string(x.rank()));
    wide.push_back(unsqueeze(Arg(x, source), axis));
  }
  return concat(wide, normal_axis("stack", axis, parts[0].rank() + 1), source);
}

Tensor roll(const Arg& x, int64_t shift, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("roll", axis, t.rank());
  const Dim n = t.dim(axis);
  if (n.is_const()) shift = n.value() == 0 ? 0 : (shift % n.value() + n.value()) % n.value();
  if (shift == 0) return t;
  // The last `shift` elements come first (the first -shift come last).
  const Dim cut = shift > 0 ? n - Dim(shift) : Dim(-shift);
  const Tensors halves = split(Arg(t, x.source), {cut, n - cut}, axis);
  return concat({halves[1], halves[0]}, axis, x.source);
}

Tensor tile(const Arg& x, std::vector<int64_t> counts) {
  const Tensor t = to_tensor(x, DType::f32);
  for (int64_t c : counts)
    if (c < 0) invalid("tile: a count is negative: " + std::to_string(c));
  const int64_t rank = std::max<int64_t>(t.rank(), static_cast<int64_t>(counts.size()));
  counts.insert(counts.begin(), rank - static_cast<int64_t>(counts.size()), 1);
  Shape padded(rank - t.rank(), Dim(1)), given = t.shape();
  padded.insert(padded.end(), given.begin(), given.end());
  // Axis by axis, so that the rank stays within the limit.
  Tensor y = reshape(Arg(t, x.source), padded);
  for (int64_t d = rank; d-- > 0;) {
    if (counts[d] == 1) continue;
    Shape joined = y.shape();
    Dim before = 1, behind = 1;
    for (int64_t i = 0; i < rank; ++i) (i < d ? before : behind) = (i < d ? before : behind) * joined[i];
    const Tensor wide = reshape(Arg(y, x.source), {before, 1, behind});
    joined[d] = joined[d] * Dim(counts[d]);
    y = reshape(Arg(broadcast_to(Arg(wide, x.source), {before, counts[d], behind}), x.source), joined);
  }
  return y;
}

Tensor repeat(const Arg& x, int64_t count, int64_t axis) {
  const Tensor t = to_tensor(x, DType::f32);
  axis = normal_axis("repeat", axis, t.rank());
  if (count < 0) invalid("repeat: the count is negative: " + std::to_string(count));
  Shape joined = t.shape();
  Dim before = 1, behind = 1;
  for (int64_t i = 0; i < t.rank(); ++i)
    (i <= axis ? before : behind) = (i <= axis ? before : behind) * joined[i];
  joined[axis] = joined[axis] * Dim(count);
  const Tensor wide =
      broadcast_to(Arg(reshape(Arg(t, x.source), {before, 1, behind}), x.source), {before, count, behind});
  return reshape(Arg(wide, x.source), joined);
}

}  // namespace fovea
