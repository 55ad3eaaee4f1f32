// The hot kernels at the sizes of the workloads, each as a compiled one-op program: time and bytes or FLOPs a
// second.
#include <benchmark/benchmark.h>

#include "frontends/cpp/fovea.h"
#include "graph/build/builder.h"

using namespace fovea;

namespace {

// How a kernel's work is counted: bytes moved, or floating-point operations.
enum class Unit { bytes, flops };

Array random_array(Dims shape, double low = -1, double high = 1) {
  const Array key = Array::of(std::vector<int64_t>{1, static_cast<int64_t>(shape.size())}, {2});
  return uniform(key, to_shape(shape), low, high).array();
}

void measure(benchmark::State& state, const Function& fn, const std::vector<Array>& in, Unit unit,
             double work) {
  std::vector<Spec> specs;
  for (const Array& a : in) specs.emplace_back(a.dtype(), to_shape(a.shape()));
  Program program(trace(fn, specs), "main");
  const auto plan = program.plan(in);
  std::vector<Array> results = plan->run(in);
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const Array& a : in) from.push_back(a.raw());
  for (const Array& a : results) to.push_back(a.raw());
  for (auto _ : state) plan->run(from.data(), to.data());
  state.counters[unit == Unit::bytes ? "bytes" : "flops"] =
      benchmark::Counter(work, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void matmul_rows(benchmark::State& state, int64_t m, int64_t k, int64_t n) {
  measure(
      state, [](const std::vector<Tensor>& in) { return std::vector<Tensor>{linear(in[0], in[1])}; },
      {random_array({m, k}), random_array({n, k})}, Unit::flops, 2.0 * static_cast<double>(m * k * n));
}

void attention_scores(benchmark::State& state, int64_t heads, int64_t length, int64_t dim) {
  measure(
      state,
      [](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{matmul(in[0], in[1].transpose(-1, -2))};
      },
      {random_array({heads, length, dim}), random_array({heads, length, dim})}, Unit::flops,
      2.0 * static_cast<double>(heads * length * length * dim));
}

void rows(benchmark::State& state, Tensor (*fn)(const Tensor&), int64_t count, int64_t length) {
  measure(
      state, [fn](const std::vector<Tensor>& in) { return std::vector<Tensor>{fn(in[0])}; },
      {random_array({count, length})}, Unit::bytes, 8.0 * static_cast<double>(count * length));
}

BENCHMARK_CAPTURE(matmul_rows, gpt_up, 2048, 384, 1536)->UseRealTime();
BENCHMARK_CAPTURE(matmul_rows, bert_vocabulary, 2048, 256, 30522)->UseRealTime();
BENCHMARK_CAPTURE(matmul_rows, vit_down, 3200, 768, 192)->UseRealTime();
BENCHMARK_CAPTURE(attention_scores, gpt, 48, 256, 64)->UseRealTime();
BENCHMARK_CAPTURE(attention_scores, vit, 192, 50, 64)->UseRealTime();
BENCHMARK_CAPTURE(
    rows, softmax, [](const Tensor& x) { return softmax(x); }, 12288, 256)
    ->UseRealTime();
BENCHMARK_CAPTURE(
    rows, layer_norm, [](const Tensor& x) { return layer_norm(x); }, 2048, 384)
    ->UseRealTime();
BENCHMARK_CAPTURE(
    rows, gelu, [](const Tensor& x) { return gelu(x); }, 2048, 1536)
    ->UseRealTime();
BENCHMARK_CAPTURE(
    rows, exp, [](const Tensor& x) { return exp(x); }, 2048, 1536)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
