// Helpers of the tile tests: random programs, and their values from tensor ops on the reference backend.
#pragma once

#include <random>
#include <vector>

#include "graph/build/builder.h"
#include "ops/shared/tile/program.h"
#include "optim/lower/program.h"

namespace fovea::test {

inline Array filled(Dims shape, double value, DType dtype = DType::f64) {
  Array a(dtype, std::move(shape));
  for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, value);
  return a;
}

inline Array key(int64_t seed, int64_t step = 3) {
  Array a(DType::i64, {2});
  a.set_flat(0, static_cast<double>(seed));
  a.set_flat(1, static_cast<double>(step));
  return a;
}

/// The program as ops on the reference backend, in f64.
inline std::vector<Array> reference(const tiles::Program& p, const std::vector<Tensor>& in,
                                    const Dims& space) {
  auto module = std::make_shared<Module>();
  auto builder = Builder::make(module, "f");
  std::vector<Tensor> args;
  std::vector<Array> arrays;
  for (const Tensor& x : in) {
    args.push_back(builder->input("", x.type()));
    arrays.push_back(x.array());
  }
  {
    TraceScope trace(builder);
    for (const Tensor& y : tiles::build(p, args, to_shape(space), DType::f64)) builder->output("", y);
  }
  builder->finish();
  CompileOptions options;
  options.backend = "reference";
  return Program(module, "f", options).run(arrays);
}

/// A random program over operands 0 (real), 1 (integer), 2 (bool), 3 (key of random), iotas of a space of
/// rank 2. Results: its last values, one of them real.
struct RandomProgram {
  tiles::Program program;

  explicit RandomProgram(unsigned seed) : engine_(seed) {
    using tiles::Code, tiles::Kind;
    tiles::Program& p = program;
    values_[0] = {p.input(0), p.constant(0.5), p.constant(-2)};
    values_[1] = {p.input(1, Kind::integer), p.iota(-1), p.iota(-2), p.integer(3), p.random(5, 3)};
    values_[2] = {p.input(2, Kind::boolean), p.boolean(true)};
    const int steps = 3 + static_cast<int>(engine_() % 14);
    for (int k = 0; k < steps; ++k) step();
    p.results = {values_[0].back()};
    if (engine_() % 2) p.results.push_back(values_[2].back());
    if (engine_() % 3 == 0) p.results.push_back(values_[1].back());
    if (engine_() % 3 == 0) p.results.push_back(pick(0));
  }

 private:
  int32_t pick(int kind) { return values_[kind][engine_() % values_[kind].size()]; }
  void keep(int32_t v) { values_[static_cast<int>(program.code[v].kind)].push_back(v); }
  void step() {
    using tiles::Code;
    static constexpr Code kUnary[] = {Code::neg,   Code::abs,     Code::sign,  Code::exp,    Code::expm1,
                                      Code::tanh,  Code::sigmoid, Code::erf,   Code::sin,    Code::cos,
                                      Code::floor, Code::ceil,    Code::round, Code::is_nan, Code::is_inf};
    static constexpr Code kBinary[] = {Code::add,     Code::sub,      Code::mul,  Code::div,
                                       Code::maximum, Code::minimum,  Code::less, Code::less_equal,
                                       Code::equal,   Code::not_equal};
    static constexpr Code kInteger[] = {Code::add,  Code::sub,       Code::mul,       Code::div,
                                        Code::mod,  Code::floor_div, Code::maximum,   Code::minimum,
                                        Code::less, Code::equal,     Code::less_equal};
    static constexpr Code kLogic[] = {Code::logical_and, Code::logical_or, Code::logical_xor, Code::equal};
    tiles::Program& p = program;
    const auto any = [&](const auto& list) { return list[engine_() % std::size(list)]; };
    switch (engine_() % 8) {
      case 0:
      case 1:
        return keep(p.unary(any(kUnary), pick(0)));
      case 2:
      case 3:
        return keep(p.binary(any(kBinary), pick(0), pick(0)));
      case 4:
        return keep(p.binary(any(kInteger), pick(1), pick(1)));
      case 5:
        return keep(engine_() % 4 ? p.binary(any(kLogic), pick(2), pick(2))
                                  : p.unary(Code::logical_not, pick(2)));
      case 6: {
        const int kind = static_cast<int>(engine_() % 3);
        return keep(p.select(pick(2), pick(kind), pick(kind)));
      }
      default: {
        static constexpr Code kCasts[] = {Code::to_real, Code::to_real, Code::to_boolean, Code::to_integer};
        // Random bits as real numbers would leave the range in which results can be compared.
        return keep(p.unary(any(kCasts), pick(engine_() % 2 ? 2 : 0)));
      }
    }
  }
  std::mt19937 engine_;
  std::vector<int32_t> values_[3];
};

/// A smooth function of three positive operands.
inline tiles::Program smooth_program(unsigned seed) {
  using tiles::Code;
  std::mt19937 engine(seed);
  tiles::Program p;
  std::vector<int32_t> v = {p.input(0), p.input(1), p.input(2), p.constant(1.5)};
  const auto pick = [&] { return v[engine() % v.size()]; };
  for (int k = 0; k < 8; ++k) {
    static constexpr Code kUnary[] = {Code::tanh, Code::sigmoid, Code::sin, Code::erf, Code::neg};
    static constexpr Code kBinary[] = {Code::add, Code::sub, Code::mul};
    v.push_back(engine() % 2 ? p.unary(kUnary[engine() % 5], pick())
                             : p.binary(kBinary[engine() % 3], pick(), pick()));
  }
  p.results = {v.back()};
  return p;
}

}  // namespace fovea::test
