#include "frontends/tools/bench_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "graph/build/builder.h"
#include "ops/composite/attention/attention.h"
#include "ops/composite/uniform/uniform.h"
#include "optim/lower/program.h"

namespace fovea::tools {
namespace {

struct Shape5 {
  std::string variant = "plain";
  int64_t batch = 1, heads = 1, length = 1, dim = 1;
  bool causal = false;
};

const char* const kShapes[] = {"plain=1,8,1024,64,0", "plain=1,8,1024,64,1",  "plain=1,1,4096,64,1",
                               "plain=8,6,256,64,1",  "plain=32,4,32,64,0",   "plain=64,3,50,64,0",
                               "plain=16,4,128,64,0", "plain=1,12,2048,128,1"};

Shape5 parse(const std::string& text) {
  const auto bad = [&] {
    invalid(fmt::format("--shape {:.60} is not VARIANT=BATCH,HEADS,LENGTH,DIM,CAUSAL", text));
  };
  const size_t equals = text.find('=');
  if (equals == std::string::npos) bad();
  Shape5 s;
  s.variant = text.substr(0, equals);
  int64_t* const numbers[] = {&s.batch, &s.heads, &s.length, &s.dim};
  const char* at = text.c_str() + equals + 1;
  for (int i = 0; i < 5; ++i) {
    char* end = nullptr;
    const long long x = std::strtoll(at, &end, 10);
    if (end == at || *end != (i < 4 ? ',' : '\0') || x < (i < 4 ? 1 : 0) || x > (1 << 24)) bad();
    if (i < 4)
      *numbers[i] = x;
    else
      s.causal = x != 0;
    at = end + 1;
  }
  return s;
}

// The spec of a variant and its leaves behind q, k and v.
AttentionSpec spec_of(const Shape5& s, std::vector<TensorType>& leaves) {
  using tiles::Code;
  AttentionSpec spec;
  tiles::Program& p = spec.score;
  int32_t x = p.binary(Code::mul, p.input(0), p.constant(1 / std::sqrt(static_cast<double>(s.dim))));
  if (s.variant == "softcap") {
    const int32_t inner = p.binary(Code::mul, x, p.constant(1.0 / 30));
    x = p.binary(Code::mul, p.unary(Code::tanh, inner), p.constant(30));
  } else if (s.variant == "alibi") {
    leaves.push_back({DType::f32, {1, s.heads, 1, 1}});
    const int32_t distance = p.unary(Code::to_real, p.binary(Code::sub, p.iota(-1), p.iota(-2)));
    x = p.binary(Code::add, x, p.binary(Code::mul, p.input(1), distance));
  } else if (s.variant == "bias") {
    leaves.push_back({DType::f32, {1, s.heads, s.length, s.length}});
    x = p.binary(Code::add, x, p.input(1));
  } else if (s.variant == "padding") {
    leaves.push_back({DType::boolean, {s.batch, 1, 1, s.length}});
    x = p.select(p.input(1, tiles::Kind::boolean), x, p.constant(-1e9));
  } else if (s.variant == "dropout") {
    leaves.push_back({DType::i64, {2}});
    tiles::Program& f = spec.factor;
    const int32_t dropped = f.binary(Code::less, f.random(1, 1), f.integer(-1717986918));  // p = 0.1
    f.results = {f.select(dropped, f.constant(0), f.constant(1 / 0.9))};
  } else if (s.variant != "plain") {
    invalid(fmt::format("there is no variant \"{:.40}\": plain, softcap, alibi, bias, padding or dropout",
                        s.variant));
  }
  if (s.causal)
    x = p.select(p.binary(Code::less_equal, p.iota(-1), p.iota(-2)), x,
                 p.constant(-std::numeric_limits<double>::infinity()));
  p.results = {x};
  return spec;
}

double best_ms(const Plan& plan, const std::vector<Array>& in, int steps) {
  std::vector<Array> results = plan.run(in);
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const Array& a : in) from.push_back(a.raw());
  for (const Array& a : results) to.push_back(a.raw());
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < steps + 2; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    plan.run(from.data(), to.data());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (i >= 2) best = std::min(best, took.count());
  }
  return best;
}

Array random_array(const TensorType& type, int64_t seed) {
  const Array key = Array::of(std::vector<int64_t>{seed, 1}, {2});
  if (type.dtype == DType::i64) return key;
  const Array x = uniform(key, type.shape, -1, 1).array();
  return type.dtype == DType::boolean ? x.cast(DType::boolean) : x;
}

nlohmann::ordered_json measure(const Shape5& s, int steps) {
  const TensorType type{DType::f32, {s.batch, s.heads, s.length, s.dim}};
  std::vector<TensorType> types{type, type, type};
  std::vector<TensorType> leaves;
  const AttentionSpec spec = spec_of(s, leaves);
  types.insert(types.end(), leaves.begin(), leaves.end());
  std::vector<Array> in;
  for (const TensorType& t : types) in.push_back(random_array(t, static_cast<int64_t>(in.size())));

  auto module = std::make_shared<Module>();
  const auto arguments = [](Builder& b, const std::vector<TensorType>& of) {
    std::vector<Tensor> out;
    for (const TensorType& t : of) out.push_back(b.input("", t));
    return out;
  };
  auto f = Builder::make(module, "f");
  {
    TraceScope scope(f);
    const auto x = arguments(*f, types);
    f->output("y", attention(x[0], x[1], x[2], {x.begin() + 3, x.end()}, spec).y);
  }
  f->finish();
  auto g = Builder::make(module, "g");
  std::vector<TensorType> with_seed = types;
  with_seed.push_back(type);
  Ints wrt{0, 1, 2};
  if (s.variant == "bias") wrt.push_back(3);
  for (const Tensor& y : g->add(find_op("vjp"), arguments(*g, with_seed),
                                {{"function", FunctionRef{"f"}}, {"wrt", wrt}, {"seeds", Ints{0}}}, {}))
    g->output("", y);
  g->finish();

  const double forward = best_ms(*Program(module, "f").plan(in), in, steps);
  in.push_back(random_array(type, 99));
  const double both = best_ms(*Program(module, "g").plan(in), in, steps);
  const double flops =
      4.0 * static_cast<double>(s.batch * s.heads * s.length * s.length * s.dim) * (s.causal ? 0.5 : 1);
  const auto rounded = [](double x) { return std::stod(fmt::format("{:.3f}", x)); };
  return {{"variant", s.variant},
          {"shape", {s.batch, s.heads, s.length, s.dim, s.causal ? 1 : 0}},
          {"threads", num_threads()},
          {"fwd_ms", rounded(forward)},
          {"fwd_bwd_ms", rounded(both)},
          {"gflops", {std::round(flops / forward / 1e6), std::round(3.5 * flops / both / 1e6)}}};
}

}  // namespace

void bench_attention(const BenchAttentionOptions& options) {
  if (options.steps < 1) invalid(fmt::format("--steps is {}, less than 1", options.steps));
  std::vector<std::string> shapes = options.shapes;
  if (shapes.empty()) shapes.assign(std::begin(kShapes), std::end(kShapes));
  auto all = nlohmann::ordered_json::array();
  for (const std::string& text : shapes) {
    all.push_back(measure(parse(text), options.steps));
    const auto& row = all.back();
    if (!options.json)
      fmt::print("{}: forward {} ms, forward and backward {} ms, {} GFLOP/s\n", text,
                 row["fwd_ms"].get<double>(), row["fwd_bwd_ms"].get<double>(), row["gflops"].dump());
  }
  if (options.json) fmt::print("{}\n", all.dump());
}

}  // namespace fovea::tools
