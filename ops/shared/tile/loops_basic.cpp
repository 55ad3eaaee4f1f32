// Arithmetic, comparisons and logic of the tile machine.
#include <algorithm>
#include <cmath>

#include "ops/shared/simd/targets.h"
#include "ops/shared/tile/machine_loops.h"
#include "ops/shared/tile/scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/tile/loops_basic.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/tile/loops-inl.h"

#undef FOVEA_TILE_COST
#define FOVEA_TILE_COST Cheap

HWY_BEFORE_NAMESPACE();
namespace fovea::tiles::HWY_NAMESPACE {
namespace {

FOVEA_TILE_1(Neg, hn::Neg(x));
FOVEA_TILE_1(Abs, hn::Abs(x));
FOVEA_TILE_1(Sqrt, hn::Sqrt(x));
FOVEA_TILE_1(Rsqrt, hn::Div(hn::Set(d, 1), hn::Sqrt(x)));
FOVEA_TILE_1(Reciprocal, hn::Div(hn::Set(d, 1), x));
FOVEA_TILE_1(Floor, hn::Floor(x));
FOVEA_TILE_1(Ceil, hn::Ceil(x));
FOVEA_TILE_1(Round, hn::Round(x));
FOVEA_TILE_1(IsNan, hn::VecFromMask(d, vec::is_nan(x)));
FOVEA_TILE_1(IsInf, hn::VecFromMask(d, hn::Eq(hn::Abs(x), vec::inf_of(d))));
FOVEA_TILE_1(NotZero, hn::VecFromMask(d, hn::Not(hn::Eq(x, hn::Zero(d)))));
FOVEA_TILE_1(Not, hn::Not(x));
FOVEA_TILE_1(MaskToReal, hn::And(x, hn::Set(d, 1)));

struct Sign : Cheap {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x) {
    using T = hn::TFromD<D>;
    const V zero = hn::Zero(d);
    const V below =
        hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, T(-1)), hn::IfThenElse(hn::Eq(x, zero), zero, x));
    return hn::IfThenElse(hn::Gt(x, zero), hn::Set(d, T(1)), below);
  }
};
struct MaskToInt : Cheap {
  template <class D, class V>
  static HWY_INLINE V apply(D, V x) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(D(), hn::And(hn::BitCast(du, x), hn::Set(du, 1)));
  }
};
struct IntToReal : Cheap {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V x) {
    const hn::RebindToSigned<D> di;
    return hn::ConvertTo(d, hn::BitCast(di, x));
  }
};

FOVEA_TILE_2(Add, hn::Add(a, b));
FOVEA_TILE_2(Sub, hn::Sub(a, b));
FOVEA_TILE_2(Mul, hn::Mul(a, b));
FOVEA_TILE_2(Div, hn::Div(a, b));
FOVEA_TILE_2(Maximum, vec::maximum(d, a, b));
FOVEA_TILE_2(Minimum, vec::minimum(d, a, b));
FOVEA_TILE_2(IntMaximum, hn::Max(a, b));
FOVEA_TILE_2(IntMinimum, hn::Min(a, b));
FOVEA_TILE_2(FloorDiv, hn::Floor(hn::Div(a, b)));
FOVEA_TILE_2(Less, hn::VecFromMask(d, hn::Lt(a, b)));
FOVEA_TILE_2(LessEqual, hn::VecFromMask(d, hn::Le(a, b)));
FOVEA_TILE_2(IntLessEqual, hn::VecFromMask(d, hn::Not(hn::Lt(b, a))));
FOVEA_TILE_2(Equal, hn::VecFromMask(d, hn::Eq(a, b)));
FOVEA_TILE_2(NotEqual, hn::VecFromMask(d, hn::Not(hn::Eq(a, b))));
FOVEA_TILE_2(And, hn::And(a, b));
FOVEA_TILE_2(Or, hn::Or(a, b));
FOVEA_TILE_2(Xor, hn::Xor(a, b));
FOVEA_TILE_2(NotXor, hn::Not(hn::Xor(a, b)));
FOVEA_TILE_3(Select, hn::IfThenElse(hn::MaskFromVec(a), b, c));
FOVEA_TILE_3(MultiplyAdd, hn::MulAdd(a, b, c));
FOVEA_TILE_3(MultiplySubtract, hn::MulSub(a, b, c));
FOVEA_TILE_3(SubtractProduct, hn::NegMulAdd(a, b, c));

FOVEA_TILE_3(ZeroWhereLess, hn::IfThenElse(hn::Lt(a, b), hn::Zero(d), c));
FOVEA_TILE_3(ZeroWhereLessEqual, hn::IfThenElse(hn::Le(a, b), hn::Zero(d), c));

struct ZeroWhereIntLess : Cheap {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V a, V b, V c) {
    const hn::RebindToSigned<D> di;
    const auto less = hn::Lt(hn::BitCast(di, a), hn::BitCast(di, b));
    return hn::IfThenElse(hn::RebindMask(d, less), hn::Zero(d), c);
  }
};
struct ZeroWhereIntLessEqual : Cheap {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V a, V b, V c) {
    const hn::RebindToSigned<D> di;
    const auto more = hn::Lt(hn::BitCast(di, b), hn::BitCast(di, a));
    return hn::IfThenElse(hn::RebindMask(d, more), c, hn::Zero(d));
  }
};

struct Mod : Costly {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V a, V b) {
    using T = hn::TFromD<D>;
    alignas(64) T as[hn::MaxLanes(d)], bs[hn::MaxLanes(d)];
    hn::Store(a, d, as);
    hn::Store(b, d, bs);
    for (size_t i = 0; i < hn::Lanes(d); ++i) {
      const T r = std::fmod(as[i], bs[i]);
      as[i] = r == 0 ? std::copysign(r, bs[i]) : (r < 0) != (bs[i] < 0) ? r + bs[i] : r;
    }
    return hn::Load(d, as);
  }
};

#define FOVEA_BOTH(loop, F) &loop<F, float>, &loop<F, double>
#define FOVEA_CODE(name) static_cast<Op>(Code::name)

constexpr Row kReal[] = {
    {FOVEA_CODE(neg), FOVEA_BOTH(loop1, Neg)},
    {FOVEA_CODE(abs), FOVEA_BOTH(loop1, Abs)},
    {FOVEA_CODE(sign), FOVEA_BOTH(loop1, Sign)},
    {FOVEA_CODE(sqrt), FOVEA_BOTH(loop1, Sqrt)},
    {FOVEA_CODE(rsqrt), FOVEA_BOTH(loop1, Rsqrt)},
    {FOVEA_CODE(reciprocal), FOVEA_BOTH(loop1, Reciprocal)},
    {FOVEA_CODE(floor), FOVEA_BOTH(loop1, Floor)},
    {FOVEA_CODE(ceil), FOVEA_BOTH(loop1, Ceil)},
    {FOVEA_CODE(round), FOVEA_BOTH(loop1, Round)},
    {FOVEA_CODE(is_nan), FOVEA_BOTH(loop1, IsNan)},
    {FOVEA_CODE(is_inf), FOVEA_BOTH(loop1, IsInf)},
    {FOVEA_CODE(to_boolean), FOVEA_BOTH(loop1, NotZero)},
    {FOVEA_CODE(add), FOVEA_BOTH(loop2, Add)},
    {FOVEA_CODE(sub), FOVEA_BOTH(loop2, Sub)},
    {FOVEA_CODE(mul), FOVEA_BOTH(loop2, Mul)},
    {FOVEA_CODE(div), FOVEA_BOTH(loop2, Div)},
    {FOVEA_CODE(maximum), FOVEA_BOTH(loop2, Maximum)},
    {FOVEA_CODE(minimum), FOVEA_BOTH(loop2, Minimum)},
    {FOVEA_CODE(mod), FOVEA_BOTH(loop2, Mod)},
    {FOVEA_CODE(floor_div), FOVEA_BOTH(loop2, FloorDiv)},
    {FOVEA_CODE(less), FOVEA_BOTH(loop2, Less)},
    {FOVEA_CODE(less_equal), FOVEA_BOTH(loop2, LessEqual)},
    {FOVEA_CODE(equal), FOVEA_BOTH(loop2, Equal)},
    {FOVEA_CODE(not_equal), FOVEA_BOTH(loop2, NotEqual)},
    {FOVEA_CODE(select), FOVEA_BOTH(loop3, Select)},
    {Op::zero_where_less, FOVEA_BOTH(loop3, ZeroWhereLess)},
    {Op::zero_where_less_equal, FOVEA_BOTH(loop3, ZeroWhereLessEqual)},
    {Op::multiply_add, FOVEA_BOTH(loop3, MultiplyAdd)},
    {Op::multiply_subtract, FOVEA_BOTH(loop3, MultiplySubtract)},
    {Op::subtract_product, FOVEA_BOTH(loop3, SubtractProduct)},
};
constexpr Row kMask[] = {
    {FOVEA_CODE(logical_not), FOVEA_BOTH(loop1, Not)},
    {FOVEA_CODE(logical_and), FOVEA_BOTH(loop2, And)},
    {FOVEA_CODE(logical_or), FOVEA_BOTH(loop2, Or)},
    {FOVEA_CODE(logical_xor), FOVEA_BOTH(loop2, Xor)},
    {FOVEA_CODE(not_equal), FOVEA_BOTH(loop2, Xor)},
    {FOVEA_CODE(equal), FOVEA_BOTH(loop2, NotXor)},
    {FOVEA_CODE(select), FOVEA_BOTH(loop3, Select)},
    {FOVEA_CODE(to_real), FOVEA_BOTH(loop1, MaskToReal)},
    {FOVEA_CODE(to_integer), &loop1<MaskToInt, float>, nullptr},
};
constexpr Row kInt[] = {
    // i32, beside f32 only
    {FOVEA_CODE(neg), &loop1<Neg, int32_t>, nullptr},
    {FOVEA_CODE(to_real), &loop1<IntToReal, float>, nullptr},
    {FOVEA_CODE(add), &loop2<Add, int32_t>, nullptr},
    {FOVEA_CODE(sub), &loop2<Sub, int32_t>, nullptr},
    {FOVEA_CODE(maximum), &loop2<IntMaximum, int32_t>, nullptr},
    {FOVEA_CODE(minimum), &loop2<IntMinimum, int32_t>, nullptr},
    {FOVEA_CODE(less), &loop2<Less, int32_t>, nullptr},
    {FOVEA_CODE(less_equal), &loop2<IntLessEqual, int32_t>, nullptr},
    {FOVEA_CODE(equal), &loop2<Equal, int32_t>, nullptr},
    {FOVEA_CODE(not_equal), &loop2<NotEqual, int32_t>, nullptr},
    {FOVEA_CODE(select), &loop3<Select, float>, nullptr},
};

// Columns are summed in T over at most 32 rows at a time, then in double.
template <class T>
void column_sums(const T* x, size_t stride, size_t rows, size_t columns, double* into) {
  const hn::ScalableTag<T> d;
  alignas(64) T lanes[hn::MaxLanes(d)];
  for (size_t c = 0; c < columns; c += hn::Lanes(d)) {
    const size_t n = std::min(hn::Lanes(d), columns - c);
    for (size_t r0 = 0; r0 < rows; r0 += 32) {
      const size_t last = std::min(rows, r0 + 32);
      auto sum = hn::Zero(d), odd = hn::Zero(d);
      if (n == hn::Lanes(d)) {
        size_t r = r0;
        for (; r + 2 <= last; r += 2) {
          sum = hn::Add(sum, hn::LoadU(d, x + r * stride + c));
          odd = hn::Add(odd, hn::LoadU(d, x + (r + 1) * stride + c));
        }
        if (r < last) sum = hn::Add(sum, hn::LoadU(d, x + r * stride + c));
      } else {
        for (size_t r = r0; r < last; ++r) {
          auto& into_sum = (r - r0) % 2 == 0 ? sum : odd;
          into_sum = hn::Add(into_sum, vec::load_tail(d, x + r * stride + c, n));
        }
      }
      hn::Store(hn::Add(sum, odd), d, lanes);
      for (size_t i = 0; i < n; ++i) into[c + i] += static_cast<double>(lanes[i]);
    }
  }
}

template <class T>
void to_bytes(const T* masks, uint8_t* bytes, size_t n) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) vec::store_mask(d, hn::MaskFromVec(hn::LoadU(d, masks + i)), bytes + i);
  if (i == n) return;
  uint8_t rest[hn::MaxLanes(d)];
  vec::store_mask(d, hn::MaskFromVec(hn::LoadU(d, masks + i)), rest);  // masks come in whole groups
  std::memcpy(bytes + i, rest, n - i);
}
template <class T>
void from_bytes(const uint8_t* bytes, T* masks, size_t n) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d), unit = 64 / sizeof(T);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::VecFromMask(d, vec::load_mask(d, bytes + i)), d, masks + i);
  if (i < n) {
    uint8_t rest[hn::MaxLanes(d)] = {};
    std::memcpy(rest, bytes + i, n - i);
    hn::StoreU(hn::VecFromMask(d, vec::load_mask(d, rest)), d, masks + i);
    i += lanes;
  }
  for (; i % unit != 0; i += lanes) hn::StoreU(hn::Zero(d), d, masks + i);
}

}  // namespace

LoopFn basic_loop_for(Op op, Rep rep, DType compute) {
  return rep == Rep::real   ? find_row(kReal, op, compute)
         : rep == Rep::mask ? find_row(kMask, op, compute)
         : rep == Rep::i32  ? find_row(kInt, op, compute)
                            : nullptr;
}
void column_sums_for(const void* x, size_t stride, size_t rows, size_t columns, double* into, DType compute) {
  if (compute == DType::f64) return column_sums(static_cast<const double*>(x), stride, rows, columns, into);
  column_sums(static_cast<const float*>(x), stride, rows, columns, into);
}
void masks_to_bytes_for(const void* masks, uint8_t* bytes, size_t n, DType compute) {
  if (compute == DType::f64) return to_bytes(static_cast<const double*>(masks), bytes, n);
  to_bytes(static_cast<const float*>(masks), bytes, n);
}
void bytes_to_masks_for(const uint8_t* bytes, void* masks, size_t n, DType compute) {
  if (compute == DType::f64) return from_bytes(bytes, static_cast<double*>(masks), n);
  from_bytes(bytes, static_cast<float*>(masks), n);
}

}  // namespace fovea::tiles::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::tiles {
HWY_EXPORT(basic_loop_for);
HWY_EXPORT(column_sums_for);
HWY_EXPORT(masks_to_bytes_for);
HWY_EXPORT(bytes_to_masks_for);

LoopFn find_basic_loop(Op op, Rep rep, DType compute) {
  return HWY_DYNAMIC_DISPATCH(basic_loop_for)(op, rep, compute);
}
void add_column_sums(const void* x, size_t stride, size_t rows, size_t columns, double* into, DType compute) {
  HWY_DYNAMIC_DISPATCH(column_sums_for)(x, stride, rows, columns, into, compute);
}
void masks_to_bytes(const void* masks, uint8_t* bytes, size_t n, DType compute) {
  HWY_DYNAMIC_DISPATCH(masks_to_bytes_for)(masks, bytes, n, compute);
}
void bytes_to_masks(const uint8_t* bytes, void* masks, size_t n, DType compute) {
  HWY_DYNAMIC_DISPATCH(bytes_to_masks_for)(bytes, masks, n, compute);
}
}  // namespace fovea::tiles
#endif
