#include "ops/composite/global_norm/global_norm.h"

#include <cmath>

#include "ops/core/cast/cast.h"
#include "ops/core/sqrt/sqrt.h"
#include "ops/core/sum/sum.h"
#include "ops/shared/blocks.h"
#include "ops/shared/gradients.h"
#include "ops/shared/rows.h"
#include "ops/shared/simd/optimizer.h"

namespace fovea {
namespace {

// A range of one operand.
struct Piece {
  int operand;
  DType dtype;
  int64_t begin, end;
};
constexpr int64_t kPiece = 1 << 16, kMostPieces = 1 << 16;

std::vector<Piece> pieces_of(const KernelRequest& r) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < r.in.size(); ++i) {
    const int64_t n = r.in[i].size(), step = std::max(kPiece, n / kMostPieces);
    for (int64_t at = 0; at < n; at += std::min(step, n - at))
      pieces.push_back({static_cast<int>(i), r.in[i].dtype, at, at + std::min(step, n - at)});
  }
  return pieces;
}

}  // namespace

FOVEA_OP(global_norm) {
  op.doc("sqrt of the sum of squares of all elements of all operands: f64 if the first is f64, else f32.")
      .input("x", Types::floating)
      .variadic_input("more", Types::floating)
      .infer([](InferContext& c) { c.output(row_dtype(c.dtype(0)), {}); })
      .decompose([](const OpArgs& a) {
        const DType dtype = row_dtype(a.in[0].dtype());
        Tensor total;
        for (const Tensor& x : a.in) {
          const Tensor wide = cast(x, dtype);
          const Tensor squares = sum(wide * wide);
          total = total.defined() ? total + squares : squares;
        }
        return Tensors{sqrt(total)};
      })
      .sample({In({2, 3}).range(0.5, 1)})
      .sample({In({2, 3}).range(0.5, 1), In({4}).range(-1, -0.5), In({}).range(0.5, 1)})
      .sample_error({ints({2}, 0, 5)}, {}, "x must be floating");
}

FOVEA_KERNEL(cpu, global_norm, pieces) {
  kernel.prepare([](const KernelRequest& r) {
    const std::vector<Piece> pieces = pieces_of(r);
    const Blocks blocks(static_cast<int64_t>(pieces.size()), 1, 1024);
    return make_prepared(
        [=, wide = r.out[0].dtype == DType::f64](const KernelArgs& args) {
          auto* sums = static_cast<double*>(args.workspace);
          for_blocks(args.pool, blocks, [&](int64_t, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const Piece& p = pieces[static_cast<size_t>(i)];
              sums[i] = simd::sum_squares(args.input<char>(p.operand) + p.begin * size_of(p.dtype), p.dtype,
                                          static_cast<size_t>(p.end - p.begin));
            }
          });
          double total = 0;
          for (size_t i = 0; i < pieces.size(); ++i) total += sums[i];
          if (wide)
            *args.output<double>(0) = std::sqrt(total);
          else
            *args.output<float>(0) = static_cast<float>(std::sqrt(total));
        },
        static_cast<int64_t>(pieces.size()) * 8);
  });
}

Tensor global_norm(const std::vector<Tensor>& tensors, Source source) {
  if (tensors.empty()) invalid("global_norm: takes 1 or more tensors, got 0");
  return apply1("global_norm", tensors, {}, source);
}

}  // namespace fovea
