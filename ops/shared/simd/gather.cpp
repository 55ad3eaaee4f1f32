// Gather and scatter-add of rows.
#include "ops/shared/simd/gather.h"

#include "ops/shared/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/simd/gather.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::simd::HWY_NAMESPACE {
namespace {
template <class T, class I>
void add_rows(const void* rows, const I* index, size_t n, void* table, size_t cols, size_t first,
              size_t last) {
  const hn::ScalableTag<T> d;
  for (size_t i = 0; i < n; ++i) {
    const T* from = static_cast<const T*>(rows) + i * cols + first;
    T* to = static_cast<T*>(table) + static_cast<size_t>(index[i]) * cols + first;
    for_each_vector(d, last - first, [&](size_t c, auto k) HWY_ATTR {
      store_n(hn::Add(load_n(d, to + c, k), load_n(d, from + c, k)), d, to + c, k);
    });
  }
}
}  // namespace

bool add_rows_for(DType dtype, const void* rows, const void* index, DType index_dtype, size_t n, void* table,
                  size_t cols, size_t first, size_t last) {
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    if (index_dtype == DType::i32) {
      add_rows<T>(rows, static_cast<const int32_t*>(index), n, table, cols, first, last);
    } else {
      add_rows<T>(rows, static_cast<const int64_t*>(index), n, table, cols, first, last);
    }
    return true;
  };
  if (dtype == DType::f32) return run(float{});
  if (dtype == DType::f64) return run(double{});
  return false;
}

}  // namespace fovea::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::simd {
HWY_EXPORT(add_rows_for);
namespace {

template <class I>
int64_t first_bad(const I* index, size_t n, size_t rows) {
  for (size_t i = 0; i < n; ++i)
    if (index[i] < 0 || static_cast<uint64_t>(index[i]) >= rows) return static_cast<int64_t>(i);
  return -1;
}

template <class I>
int64_t gather(const void* table, size_t rows, size_t bytes, const I* index, size_t n, void* out) {
  const auto* from = static_cast<const unsigned char*>(table);
  auto* to = static_cast<unsigned char*>(out);
  for (size_t i = 0; i < n; ++i, to += bytes) {
    if (index[i] < 0 || static_cast<uint64_t>(index[i]) >= rows) return static_cast<int64_t>(i);
    if (bytes != 0) std::memcpy(to, from + static_cast<size_t>(index[i]) * bytes, bytes);
  }
  return -1;
}

}  // namespace

int64_t gather_rows(const void* table, size_t table_rows, size_t row_bytes, const void* index,
                    DType index_dtype, size_t n, void* out) {
  if (index_dtype == DType::i32)
    return gather(table, table_rows, row_bytes, static_cast<const int32_t*>(index), n, out);
  return gather(table, table_rows, row_bytes, static_cast<const int64_t*>(index), n, out);
}

int64_t scatter_add_rows(DType dtype, const void* rows, const void* index, DType index_dtype, size_t n,
                         void* table, size_t table_rows, size_t cols, size_t first, size_t last) {
  if (dtype != DType::f32 && dtype != DType::f64) return -2;
  const int64_t bad = index_dtype == DType::i32
                          ? first_bad(static_cast<const int32_t*>(index), n, table_rows)
                          : first_bad(static_cast<const int64_t*>(index), n, table_rows);
  if (bad >= 0) return bad;
  HWY_DYNAMIC_DISPATCH(add_rows_for)(dtype, rows, index, index_dtype, n, table, cols, first, last);
  return -1;
}

}  // namespace fovea::simd
#endif
