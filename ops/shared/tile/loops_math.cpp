// Elementary functions of the tile machine.
#include "ops/shared/simd/targets.h"
#include "ops/shared/tile/machine_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared/tile/loops_math.cpp"
#include "hwy/foreach_target.h"
#include "ops/shared/tile/loops-inl.h"

#undef FOVEA_TILE_COST
#define FOVEA_TILE_COST Costly

HWY_BEFORE_NAMESPACE();
namespace fovea::tiles::HWY_NAMESPACE {
namespace {

FOVEA_TILE_1(Exp, vec::exp(d, x));
FOVEA_TILE_1(Expm1, vec::expm1(d, x));
FOVEA_TILE_1(Log, vec::log(d, x));
FOVEA_TILE_1(Log1p, vec::log1p(d, x));
FOVEA_TILE_1(Tanh, vec::tanh(d, x));
FOVEA_TILE_1(Sigmoid, vec::sigmoid(d, x));
FOVEA_TILE_1(Erf, vec::erf(d, x));
FOVEA_TILE_1(Sin, vec::sin(d, x));
FOVEA_TILE_1(Cos, vec::cos(d, x));
FOVEA_TILE_1(NormalCdf, vec::normal_cdf(d, x));
FOVEA_TILE_1(Bell, vec::exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5))));
FOVEA_TILE_2(Pow, vec::pow(d, a, b));

#define FOVEA_BOTH(loop, F) &loop<F, float>, &loop<F, double>
#define FOVEA_CODE(name) static_cast<Op>(Code::name)
constexpr Row kMath[] = {
    {FOVEA_CODE(exp), FOVEA_BOTH(loop1, Exp)},      {FOVEA_CODE(expm1), FOVEA_BOTH(loop1, Expm1)},
    {FOVEA_CODE(log), FOVEA_BOTH(loop1, Log)},      {FOVEA_CODE(log1p), FOVEA_BOTH(loop1, Log1p)},
    {FOVEA_CODE(tanh), FOVEA_BOTH(loop1, Tanh)},    {FOVEA_CODE(sigmoid), FOVEA_BOTH(loop1, Sigmoid)},
    {FOVEA_CODE(erf), FOVEA_BOTH(loop1, Erf)},      {FOVEA_CODE(sin), FOVEA_BOTH(loop1, Sin)},
    {Op::normal_cdf, FOVEA_BOTH(loop1, NormalCdf)}, {Op::bell, FOVEA_BOTH(loop1, Bell)},
    {FOVEA_CODE(cos), FOVEA_BOTH(loop1, Cos)},      {FOVEA_CODE(pow), FOVEA_BOTH(loop2, Pow)},
};

}  // namespace

LoopFn math_loop_for(Op op, DType compute) { return find_row(kMath, op, compute); }

}  // namespace fovea::tiles::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::tiles {
HWY_EXPORT(math_loop_for);
LoopFn find_math_loop(Op op, DType compute) { return HWY_DYNAMIC_DISPATCH(math_loop_for)(op, compute); }
}  // namespace fovea::tiles
#endif
