// What reductions over axes share: shapes, gradients, plain loops and the vector kernel.
#pragma once

#include <limits>
#include <memory>

#include "framework/backend/kernel.h"
#include "graph/build/tensor.h"
#include "graph/ir/op.h"
#include "ops/shared/strided_loop.h"
#include "ops/shared/widen.h"

namespace fovea {

/// Infer for attributes `axes` (sorted; all where empty) and `keepdims`: the operand's type without those
/// axes.
void infer_reduction(InferContext& c);
/// Refuses operand 0 with an `axis` of size 0, which has no `extreme` ("largest") element.
void check_not_empty(const InferContext& c, int64_t axis, const char* extreme);
/// The shape that is left of `shape`.
Shape reduced_shape(const Shape& shape, const Ints& axes, bool keepdims);
/// How many elements of x go into one result, as a 0-d tensor of x's type; x's size at `axes` may hold
/// symbols.
Tensor reduced_count(const Tensor& x, const Ints& axes);
/// f16 and bf16 as f32, other types as they are.
Tensor widen_half(const Tensor& x);
/// The same order backwards: -x, or for integers a mirror image within the type. Its own inverse.
Tensor mirrored(const Tensor& x);
/// `y`, a reduction of `like` with these attributes (axes, keepdims), broadcast back to like's shape.
Tensor expand_reduced(const Tensor& y, const Tensor& like, const Attrs& attrs);

/// One reduction with concrete operands: the kept dims in the order of the output, and the reduced dims.
struct ReductionLoops {
  explicit ReductionLoops(const KernelRequest& request);
  StridedLoop<1> kept, reduced;
};

/// A plain loop: acc = init, then acc = combine(acc, x) over the reduced elements, in double or int64.
template <class F>
void reference_reduction(Kernel& kernel, double init, F combine) {
  kernel.priority(0).strided().prepare([init, combine](const KernelRequest& r) {
    const ReductionLoops loops(r);
    return dispatch(r.in[0].dtype, [&](auto zero) -> std::unique_ptr<PreparedKernel> {
      using T = decltype(zero);
      return make_prepared([loops, init, combine](const KernelArgs& args) {
        const T* x = args.input<T>(0);
        T* y = args.output<T>(0);
        Wide<T> start;
        if constexpr (kIsFloating<T>) {
          start = init;
        } else {
          start = init == -std::numeric_limits<double>::infinity() ? std::numeric_limits<int64_t>::min()
                                                                   : static_cast<int64_t>(init);
        }
        loops.kept.each([&](const auto& at) {
          Wide<T> acc = start;
          loops.reduced.each([&](const auto& in) { acc = combine(acc, widen(x[at[0] + in[0]])); });
          *y++ = narrow<T>(acc);
        });
      });
    });
  });
}

/// The vector kernel of a reduction, by the name of its op.
void simd_reduction(Kernel& kernel);
/// The same for argmax and argmin.
void simd_arg_reduction(Kernel& kernel);

}  // namespace fovea
