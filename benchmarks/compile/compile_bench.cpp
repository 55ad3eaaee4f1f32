// What making and starting plans costs: a training step from trace to plan, the plan of another batch size,
// and one launch of a kernel with next to no work.
#include <benchmark/benchmark.h>

#include "frontends/cpp/fovea.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/train_step.h"

using namespace fovea;

namespace {

struct Step {
  models::Workload workload;
  std::vector<Array> batch;
  std::vector<Spec> specs;
  explicit Step(const std::string& name) : workload(models::make_workload(name, 0)) {
    batch = workload.make_batch(0).arrays();
    for (const Array& a : batch) {
      Shape shape = to_shape(a.shape());
      shape[0] = sym("B");
      specs.emplace_back(a.dtype(), shape);
    }
  }
  nn::TrainStep make() const {
    nn::TrainOptions options;
    options.optimizer = workload.optimizer;
    return nn::TrainStep(*workload.model, workload.step_loss(), specs, options);
  }
  std::vector<Array> rows(int64_t n) const {
    std::vector<Array> out;
    for (const Array& a : batch) out.push_back(a.slice(0, 0, n).copy());
    return out;
  }
};

// Trace, gradients, passes and plan; the state is allocated, but nothing is run.
void trace_to_plan(benchmark::State& state, const std::string& name) {
  const Step step(name);
  for (auto _ : state) {
    nn::TrainStep made = step.make();
    auto arguments = made.arguments(step.batch);
    benchmark::DoNotOptimize(const_cast<Program&>(made.program()).plan(arguments));
  }
}

void new_batch_size(benchmark::State& state, const std::string& name) {
  const Step step(name);
  nn::TrainStep made = step.make();
  Program& program = const_cast<Program&>(made.program());
  std::vector<Array> arguments = made.arguments(step.batch);
  program.plan(arguments);
  const size_t fixed = arguments.size() - step.batch.size();
  int64_t rows = step.batch[0].dim(0);
  for (auto _ : state) {
    state.PauseTiming();
    --rows;
    const std::vector<Array> fewer = step.rows(rows);
    std::copy(fewer.begin(), fewer.end(), arguments.begin() + static_cast<std::ptrdiff_t>(fixed));
    state.ResumeTiming();
    benchmark::DoNotOptimize(program.plan(arguments));
  }
}

void launch(benchmark::State& state) {
  const Program source(trace(
                           [](const std::vector<Tensor>& in) {
                             Tensor x = in[0];
                             for (int i = 0; i < 1000; ++i) x = x + in[1];
                             return std::vector<Tensor>{x};
                           },
                           {Spec(DType::f32, {4}), Spec(DType::f32, {4})}),
                       "main");
  Program& program = const_cast<Program&>(source);
  const std::vector<Array> in = {Array::zeros(DType::f32, {4}), Array::zeros(DType::f32, {4})};
  const auto plan = program.plan(in);
  const std::vector<Array> out = plan->run(in);
  const void* from[] = {in[0].raw(), in[1].raw()};
  void* to[] = {out[0].raw()};
  for (auto _ : state) plan->run(from, to);
  state.counters["launches"] = static_cast<double>(plan->steps.size());
  state.counters["seconds_a_launch"] =
      benchmark::Counter(static_cast<double>(plan->steps.size()),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string& name : models::workload_names()) {
    benchmark::RegisterBenchmark(("trace_to_plan/" + name).c_str(),
                                 [name](auto& s) { trace_to_plan(s, name); })
        ->Unit(benchmark::kMillisecond)
        ->MinTime(0.3);
    benchmark::RegisterBenchmark(("new_batch_size/" + name).c_str(),
                                 [name](auto& s) { new_batch_size(s, name); })
        ->Unit(benchmark::kMillisecond)
        ->Iterations(4);
  }
  benchmark::RegisterBenchmark("launch", launch);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
