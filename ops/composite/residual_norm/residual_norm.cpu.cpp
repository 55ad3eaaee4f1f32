#include "ops/composite/residual_norm/residual_norm_internal.h"
#include "ops/shared/random_scope.h"
#include "ops/shared/row_sums.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/norm.h"
#include "ops/shared/simd/reduce.h"

namespace fovea {
namespace {

using residual::BackwardOperands;
using residual::Form;
using residual::Operands;

// Dropped out and normalised at a time: rows of about as many elements stay in the first-level cache.
constexpr int64_t kGroup = 2048;

// The dropout of rows as they are computed. Its mask goes by the position in the whole tensor.
struct RowDropout {
  RowDropout(const KernelRequest& r, const Form& form)
      : dtype(r.in[0].dtype), p(static_cast<float>(form.p)), ordinal(r.attrs.integer("ordinal")) {
    scale = p >= 1 ? 0 : 1 / (1 - form.p);
  }
  void run(const simd::RandomStream& stream, int64_t first, int64_t count, const void* x, void* y) const {
    simd::dropout(dtype, stream, static_cast<uint64_t>(first), static_cast<uint64_t>(first + count), x, y, p,
                  scale);
  }
  DType dtype;
  float p;
  double scale;
  int64_t ordinal;
};

template <class P>
P* at(P* base, int64_t offset) {
  return base == nullptr ? nullptr : base + offset;
}

class Forward final : public PreparedKernel {
 public:
  explicit Forward(const KernelRequest& r)
      : form_(r.attrs),
        operands_(form_, r.in.size()),
        size_(r.in[0].shape, r.attrs.integer("dims")),
        blocks_(size_.blocks()),
        group_(std::max<int64_t>(1, kGroup / std::max<int64_t>(1, size_.n))),
        bytes_(size_of(r.in[0].dtype)),
        eps_(r.attrs.number("eps")),
        keeps_sum_(r.out.size() > 1),
        dropout_(r, form_),
        run_(simd::norm_kernels(r.in[0].dtype)->residual_norm) {}

  void launch(const KernelArgs& args) const override {
    simd::RandomStream stream;
    if (operands_.key >= 0) stream = random_stream(args.in[operands_.key], dropout_.ordinal);
    for_blocks(args.pool, blocks_, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row += group_)
        rows(args, stream, row, std::min(group_, end - row));
    });
  }

 private:
  // What is dropped out waits where the normed rows will be.
  void rows(const KernelArgs& args, const simd::RandomStream& stream, int64_t row, int64_t count) const {
    const int64_t first = row * size_.n, here = first * bytes_;
    char* z = args.output<char>(0) + here;
    const char* branch = args.input<char>(1) + here;
    if (operands_.key >= 0) {
      dropout_.run(stream, first, count * size_.n, branch, z);
      branch = z;
    }
    simd::ResidualNormArgs a{};
    a.x = args.input<char>(0) + here;
    a.branch = branch;
    a.gamma = operands_.gamma < 0 ? nullptr : args.in[operands_.gamma];
    a.beta = operands_.beta < 0 ? nullptr : args.in[operands_.beta];
    a.z = z;
    a.y = keeps_sum_ ? args.output<char>(1) + here : z;
    a.rstd = keeps_sum_ ? args.output<char>(2) + row * bytes_ : nullptr;
    a.mean = keeps_sum_ && form_.centred ? args.output<char>(3) + row * bytes_ : nullptr;
    a.rows = static_cast<size_t>(count);
    a.n = static_cast<size_t>(size_.n);
    a.eps = eps_;
    a.centred = form_.centred;
    run_(a);
  }

  Form form_;
  Operands operands_;
  RowSizes size_;
  Blocks blocks_;
  int64_t group_, bytes_;
  double eps_;
  bool keeps_sum_;
  RowDropout dropout_;
  void (*run_)(const simd::ResidualNormArgs&);
};

// The sums are, as far as they exist, dgamma, dbeta and, last, dbias.
class Backward final : public PreparedKernel {
 public:
  explicit Backward(const KernelRequest& r)
      : form_(r.attrs),
        operands_(form_, r.attrs, r.in.size()),
        size_(r.in[1].shape, r.attrs.integer("dims")),
        blocks_(size_.blocks(16384, operands_.gamma >= 0 || operands_.dbias >= 0 ? 32 : 256)),
        group_(std::max<int64_t>(1, kGroup / std::max<int64_t>(1, size_.n))),
        bytes_(size_of(r.in[1].dtype)),
        vectors_((operands_.dgamma >= 0) + (operands_.dbeta >= 0) + (operands_.dbias >= 0)),
        sums_(blocks_, size_.n, vectors_, r.in[1].dtype),
        dropout_(r, form_),
        run_(simd::norm_kernels(r.in[1].dtype)->residual_norm_backward),
        add_up_(simd::find_reduce_columns("sum", r.in[1].dtype)) {}

  int64_t workspace_bytes() const override { return sums_.workspace_bytes(); }

  void launch(const KernelArgs& args) const override {
    simd::RandomStream stream;
    if (operands_.key >= 0) stream = random_stream(args.in[operands_.key], dropout_.ordinal);
    for_blocks(args.pool, blocks_, [&](int64_t block, int64_t begin, int64_t end) {
      sums_.cleared(args, block);
      for (int64_t row = begin; row < end; row += group_)
        rows(args, stream, block, row, std::min(group_, end - row));
      if (operands_.dbias >= 0) {
        const int branch = operands_.dbranch >= 0 ? operands_.dbranch : 0;
        add_up_(args.output<char>(branch) + begin * size_.n * bytes_, static_cast<size_t>(size_.n),
                sums_.of_block(args, block, vectors_ - 1), static_cast<size_t>(end - begin),
                static_cast<size_t>(size_.n));
      }
    });
    if (operands_.dgamma >= 0) sums_.add_up(args, 0, args.out[operands_.dgamma]);
    if (operands_.dbeta >= 0) sums_.add_up(args, 1, args.out[operands_.dbeta]);
    if (operands_.dbias >= 0) sums_.add_up(args, vectors_ - 1, args.out[operands_.dbias]);
  }

 private:
  void rows(const KernelArgs& args, const simd::RandomStream& stream, int64_t block, int64_t row,
            int64_t count) const {
    const int64_t first = row * size_.n, here = first * bytes_, value = row * bytes_;
    auto operand = [&](int i, int64_t offset) { return i < 0 ? nullptr : args.input<char>(i) + offset; };
    simd::ResidualNormGradients a{};
    a.g = operand(0, here);
    a.y = operand(1, here);
    a.rstd = operand(2, value);
    a.residual = operand(operands_.residual, here);
    a.mean = operand(operands_.mean, value);
    a.gamma = operand(operands_.gamma, 0);
    a.dx = args.output<char>(0) + here;
    a.dgamma = operands_.dgamma < 0 ? nullptr : sums_.of_block(args, block);
    a.dbeta = operands_.dbeta < 0 ? nullptr : sums_.of_block(args, block, 1);
    a.rows = static_cast<size_t>(count);
    a.n = static_cast<size_t>(size_.n);
    run_(a);
    if (operands_.dbranch >= 0)
      dropout_.run(stream, first, count * size_.n, a.dx, args.output<char>(operands_.dbranch) + here);
  }

  Form form_;
  BackwardOperands operands_;
  RowSizes size_;
  Blocks blocks_;
  int64_t group_, bytes_, vectors_;
  RowSums sums_;
  RowDropout dropout_;
  void (*run_)(const simd::ResidualNormGradients&);
  simd::ReduceColumns add_up_;
};

}  // namespace

// z over x would be written before x is read: what is dropped out goes there first.
FOVEA_KERNEL(cpu, residual_norm, rows) {
  kernel.dtypes({DType::f32, DType::f64})
      .in_place(1, 0)
      .in_place(0, 1)
      .in_place(1, 1)
      .prepare([](const KernelRequest& r) { return std::make_unique<Forward>(r); });
}

// Operand 3 is the residual's gradient where there is one. What else it may be is read before dx is written,
// or belongs to the one row that there is then. Result 1 is dbranch or a sum that is written at the end.
FOVEA_KERNEL(cpu, residual_norm_backward, rows) {
  kernel.dtypes({DType::f32, DType::f64})
      .in_place(0, 0)
      .in_place(1, 0)
      .in_place(3, 0)
      .in_place(0, 1)
      .in_place(1, 1)
      .prepare([](const KernelRequest& r) { return std::make_unique<Backward>(r); });
}

}  // namespace fovea
