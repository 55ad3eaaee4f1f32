// fovea bench: the time and memory of one training step, and a digest of what it computed.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "framework/base/digest.h"
#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/models/workloads.h"
#include "frontends/nn/flops.h"
#include "frontends/nn/train_step.h"
#include "frontends/tools/bench_attention.h"
#include "frontends/tools/bench_onnx.h"
#include "frontends/tools/command.h"
#include "frontends/tools/dump_step.h"
#include "frontends/tools/memory_budget.h"
#include "frontends/tools/profile.h"
#include "ops/shared/simd/peak.h"
#include "optim/explain/recompute.h"

namespace fovea::tools {
namespace {

struct BenchOptions {
  std::string workload;
  std::vector<std::string> shapes;
  int steps = 20, threads = 0;
  bool json = false;
  uint64_t seed = 0;
  int64_t rows = 0;
  std::string profile, dump;
  double memory_budget = 0;
};

int64_t peak_rss_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of all parameters: equal for equal bits.
std::string digest_of(const nn::Module& model) {
  Digester digester;
  for (const nn::NamedParameter& p : model.parameters())
    digester.update(p.parameter.value().raw(), p.parameter.value().nbytes());
  return digester.value().hex();
}

// Contractions of one forward pass, three times: the backward pass has two products for every one.
double model_flops(const nn::LossFunction& loss, const std::vector<Spec>& specs) {
  const Tensor key = Array::zeros(DType::i64, {2});
  const auto module = trace(
      [&](const std::vector<Tensor>& in) {
        nn::Scope scope(true, key);
        return loss(in);
      },
      specs);
  return 3.0 * static_cast<double>(nn::contraction_flops(*module, module->function("main"), {}));
}

// What the steps took; times are in seconds, of single steps in milliseconds from the shortest on.
struct Times {
  double build = 0, trace = 0, first = 0;
  std::vector<double> steps;
  double first_loss = 0, last_loss = 0;
  int64_t base_rss = 0, peak_rss = 0;

  double least() const { return steps.front(); }
  double median() const {
    const size_t middle = steps.size() / 2;
    return steps.size() % 2 ? steps[middle] : (steps[middle - 1] + steps[middle]) / 2;
  }
};

// Decimal places, not multiples: 0.1 * 3 would print as 0.30000000000000004.
double rounded(double x, int places) { return std::stod(fmt::format("{:.{}f}", x, places)); }

void print_json(const BenchOptions& options, const models::Workload& w, const Times& t,
                const MachinePeak& peak, double flops, const std::string& digest,
                const RecomputeReport& again) {
  nlohmann::ordered_json line{
      {"workload", options.workload},
      {"threads", num_threads()},
      {"step_ms", {{"min", rounded(t.least(), 2)}, {"median", rounded(t.median(), 2)}}},
      {"first_step_s", rounded(t.first, 3)},
      {"build_s", rounded(t.build, 3)},
      {"trace_s", rounded(t.trace, 3)},
      {"items_per_s", rounded(static_cast<double>(w.items) / t.median() * 1e3, 1)},
      {"base_rss_mib", t.base_rss},
      {"peak_rss_mib", t.peak_rss},
      {"params", w.model->parameter_count()},
      {"digest", digest},
      {"loss", {rounded(t.first_loss, 4), rounded(t.last_loss, 4)}},
      {"peak_gflops", rounded(peak.gflops, 1)},
      {"read_gbs", rounded(peak.read_gbs, 1)},
      {"peak_fraction", rounded(flops / peak.gflops * 1e-6 / t.least(), 4)}};
  if (options.memory_budget > 0) line["recomputed"] = nlohmann::ordered_json::parse(recompute_json(again));
  fmt::print("{}\n", line.dump());
}

void print_text(const BenchOptions& options, const models::Workload& w, const Times& t,
                const RecomputeReport& again) {
  fmt::print(
      "{}: {:.2f} ms a step (least {:.2f}), first {:.2f} s, {:.0f} items/s, memory {} MiB above {} MiB, {} "
      "parameters, loss {:.4f} -> {:.4f}\n",
      options.workload, t.median(), t.least(), t.first, static_cast<double>(w.items) / t.median() * 1e3,
      t.peak_rss - t.base_rss, t.base_rss, w.model->parameter_count(), t.first_loss, t.last_loss);
  if (options.memory_budget > 0)
    fmt::print("{}\n",
               again.launches > 0 ? recompute_text(again) : "recomputed: nothing, the budget is enough");
}

void bench_training(const BenchOptions& options) {
  Times t;
  t.base_rss = peak_rss_mib();
  const double begin = seconds();
  models::Workload w = models::make_workload(options.workload, 0);
  const models::Batch batch = w.make_batch(options.seed);
  const std::vector<Array> arrays = batch.arrays();
  const std::vector<Spec> specs = batch.specs();
  nn::TrainOptions train;
  train.optimizer = w.optimizer;
  train.compile.memory_budget = budget_bytes(options.memory_budget);
  const nn::LossFunction loss = w.step_loss();
  const double made = seconds();
  t.build = made - begin;
  nn::TrainStep step(*w.model, loss, specs, train);
  t.trace = seconds() - made;
  t.first_loss = step(arrays)[0];
  t.first = seconds() - made;
  for (int i = 0; i < 2; ++i) step(arrays);
  for (int i = 0; i < options.steps; ++i) {
    const double before = seconds();
    t.last_loss = step(arrays)[0];
    t.steps.push_back((seconds() - before) * 1e3);
  }
  t.peak_rss = peak_rss_mib();
  const std::string digest = digest_of(*w.model);
  std::sort(t.steps.begin(), t.steps.end());
  // Behind all that is timed: these take processor time and memory of their own.
  MachinePeak peak;
  if (options.json || !options.profile.empty())
    peak = {simd::measure_peak_gflops(default_pool()), simd::measure_read_gbs(default_pool())};
  if (!options.profile.empty()) {
    const std::vector<LaunchTime> launches = fastest_launches([&] { step(arrays); });
    write_trace(options.profile, launches);
    fmt::print(stderr, "{}", heaviest_table(launches, peak));
  }
  const RecomputeReport again = recompute_report(*step.program().last_plan());
  if (options.json)
    print_json(options, w, t, peak, model_flops(loss, specs), digest, again);
  else
    print_text(options, w, t, again);
}

void bench(const BenchOptions& options) {
  if (options.threads > 0) set_num_threads(options.threads);
  if (options.steps < 1) invalid(fmt::format("--steps is {}, less than 1", options.steps));
  if (options.workload.ends_with(".onnx"))
    bench_onnx({options.workload, options.shapes, options.steps, options.json, options.profile});
  else if (options.workload == "attention")
    bench_attention({options.shapes, options.steps, options.json});
  else if (!options.dump.empty())
    dump_step(models::make_workload(options.workload, 0, models::WorkloadSize::full, 0.0), options.seed,
              options.rows, options.dump);
  else
    bench_training(options);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* cmd = app.add_subcommand(
      "bench", "time a training step of a workload, an ONNX model or the attention kernels");
  cmd->add_option(
         "workload", options->workload,
         fmt::format("a training step (forward, backward, update) of one of: {}; a call of FILE.onnx; or "
                     "\"attention\"",
                     fmt::join(models::workload_names(), ", ")))
      ->required();
  cmd->add_option("--steps", options->steps, "steps timed, after three to warm up")->capture_default_str();
  cmd->add_option("--threads", options->threads, "threads (default: one for each core)");
  cmd->add_option("--rows", options->rows, "with --dump: only the batch's first so many");
  cmd->add_option("--seed", options->seed, "of the batch")->capture_default_str();
  cmd->add_option("--shape", options->shapes,
                  "FILE.onnx: name=2,3, the shape of an input where it is open; attention: "
                  "plain=1,8,1024,64,1 (variant, then batch, heads, length, head dim, causal)");
  cmd->add_flag("--json", options->json, "one JSON line instead of text");
  cmd->add_option("--profile", options->profile,
                  "also write a trace of one step that Perfetto opens, and print the heaviest kernels");
  cmd->add_option("--dump", options->dump,
                  "write weights, a batch, gradients and the weights after three steps as safetensors "
                  "instead (no dropout)");
  add_memory_budget(*cmd, options->memory_budget);
  cmd->footer(
      "examples:\n  fovea bench gpt-char --steps 20 --threads 2 --json\n"
      "  fovea bench gpt-char --memory-budget 200");
  cmd->callback([options] { bench(*options); });
}

}  // namespace fovea::tools
