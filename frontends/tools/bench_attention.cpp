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
#include "ops/composite/dropout/dropout.h"
#include "ops/composite/less_equal/less_equal.h"
#include "ops/composite/softmax/softmax.h"
#include "ops/composite/uniform/uniform.h"
#include "ops/core/add/add.h"
#include "ops/core/div/div.h"
#include "ops/core/iota/iota.h"
#include "ops/core/matmul/matmul.h"
#include "ops/core/mul/mul.h"
#include "ops/core/sub/sub.h"
#include "ops/core/tanh/tanh.h"
#include "ops/core/where/where.h"
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

// What the variant takes behind q, k and v.
std::vector<TensorType> leaves_of(const Shape5& s) {
  if (s.variant == "plain" || s.variant == "softcap") return {};
  if (s.variant == "alibi") return {{DType::f32, {1, s.heads, 1, 1}}};
  if (s.variant == "bias") return {{DType::f32, {1, s.heads, s.length, s.length}}};
  if (s.variant == "padding") return {{DType::boolean, {s.batch, 1, 1, s.length}}};
  if (s.variant == "dropout") return {{DType::i64, {2}}};
  invalid(fmt::format("there is no variant \"{:.40}\": plain, softcap, alibi, bias, padding or dropout",
                      s.variant));
}

// Attention as a user writes it; what fuses it is the compiler.
Tensor written(const Shape5& s, const std::vector<Tensor>& x) {
  Tensor score = matmul(x[0], x[1].transpose(-1, -2)) * (1 / std::sqrt(static_cast<double>(s.dim)));
  if (s.variant == "softcap") score = 30 * tanh(score / 30);
  const Tensor query = arange(s.length).reshape({s.length, 1}), key = arange(s.length);
  if (s.variant == "alibi") score = score + x[3] * (key - query).cast(DType::f32);
  if (s.variant == "bias") score = score + x[3];
  if (s.variant == "padding") score = where(x[3], score, -1e9);
  if (s.causal) score = where(key <= query, score, -std::numeric_limits<double>::infinity());
  Tensor p = softmax(score, -1);
  if (s.variant == "dropout") p = dropout(p, x[3], 0.1);
  return matmul(p, x[2]);
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
  const std::vector<TensorType> leaves = leaves_of(s);
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
    f->output("y", written(s, arguments(*f, types)));
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

  Program once(module, "f"), with_gradients(module, "g");
  const double forward = best_ms(*once.plan(in), in, steps);
  in.push_back(random_array(type, 99));
  const double both = best_ms(*with_gradients.plan(in), in, steps);
  const double flops =
      4.0 * static_cast<double>(s.batch * s.heads * s.length * s.length * s.dim) * (s.causal ? 0.5 : 1);
  const auto rounded = [](double x) { return std::stod(fmt::format("{:.3f}", x)); };
  return {{"variant", s.variant},
          {"shape", {s.batch, s.heads, s.length, s.dim, s.causal ? 1 : 0}},
          {"threads", num_threads()},
          {"fused",
           std::ranges::any_of(once.records(),
                               [](const FusionRecord& r) { return r.fused && r.region == "attention"; })},
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
