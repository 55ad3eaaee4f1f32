#include "optim/lower/layouts.h"

#include "framework/base/checked.h"
#include "framework/base/error.h"

namespace fovea {
namespace {

// No machine addresses more than 2^52 bytes; below that, no sum of sizes in a kernel can overflow.
void check_addressable(DType dtype, const Dims& shape) {
  const int64_t bytes = checked_mul(product(shape), size_of(dtype), "the bytes of a value");
  if (bytes > int64_t{1} << 52)
    fail(ErrorKind::ResourceExhausted, "a value " + std::string(to_string(dtype)) + to_string(shape) +
                                           " would take " + std::to_string(bytes) + " bytes");
}

bool is_row_major(const Dims& shape, const Dims& strides) {
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (strides[d] != step) return false;
    step *= shape[d];
  }
  return true;
}

}  // namespace

int32_t Layouts::look_up(DType dtype, const Dims& shape, const Dims* strides) {
  key_.clear();
  key_ += static_cast<char>(dtype);
  key_ += strides ? 's' : 'c';
  key_.append(reinterpret_cast<const char*>(shape.data()), shape.size() * sizeof(int64_t));
  if (strides) key_.append(reinterpret_cast<const char*>(strides->data()), strides->size() * sizeof(int64_t));
  if (auto at = by_key_.find(std::string_view(key_)); at != by_key_.end()) return at->second;
  check_addressable(dtype, shape);
  const int64_t elements = product(shape);
  all_.push_back({{dtype, shape, strides ? *strides : contiguous_strides(shape)},
                  elements,
                  checked_mul(elements, size_of(dtype), "the bytes of a value"),
                  !strides || is_contiguous(shape, *strides)});
  const int32_t id = static_cast<int32_t>(all_.size()) - 1;
  by_key_.emplace(key_, id);
  return id;
}

int32_t Layouts::find(DType dtype, const Dims& shape, const Dims& strides) {
  return look_up(dtype, shape, is_row_major(shape, strides) ? nullptr : &strides);
}
int32_t Layouts::find(DType dtype, const Dims& shape) { return look_up(dtype, shape, nullptr); }

}  // namespace fovea
