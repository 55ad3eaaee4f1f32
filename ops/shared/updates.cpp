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

double scalar_value(DType dtype, const void* p) { return element_access(dtype).load(p, 0); }

void copy_range(const void* in, void* out, int64_t begin, int64_t end, int64_t bytes) {
  if (in == out) return;
  std::memcpy(static_cast<char*>(out) + begin * bytes, static_cast<const char*>(in) + begin * bytes,
              static_cast<size_t>((end - begin) * bytes));
}

}  // namespace fovea
