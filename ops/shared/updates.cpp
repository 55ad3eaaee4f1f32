#include "ops/shared/updates.h"

#include <cstring>

#include "ops/shared/reference.h"

namespace fovea {

void check_scalar(const InferContext& c, size_t i) {
  if (c.rank(i) != 0) c.fail(c.op.inputs()[i].name + " must be a scalar, got " + to_string(c.shape(i)));
}

void check_state(InferContext& c, size_t i) {
  c.same_dtype(0, i);
  c.same_shape(0, i);
}

Kernel& sweep_conditions(Kernel& kernel) {
  return kernel.when(
      [](const KernelRequest& r) {
        const DType grad = r.in[1].dtype;
        return r.in[0].dtype == DType::f32 && (grad == DType::f32 || grad == DType::bf16);
      },
      "param is not f32 with an f32 or bf16 gradient");
}

double scalar_value(DType dtype, const void* p) { return element_access(dtype).load(p, 0); }

void copy_range(const void* in, void* out, int64_t begin, int64_t end, int64_t bytes) {
  if (in == out) return;
  std::memcpy(static_cast<char*>(out) + begin * bytes, static_cast<const char*>(in) + begin * bytes,
              static_cast<size_t>((end - begin) * bytes));
}

}  // namespace fovea
