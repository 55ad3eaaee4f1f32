// fovea fuzz: random graphs and random spellings of attention, optimised and untouched.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/tools/command.h"
#include "frontends/tools/fuzz/cases.h"
#include "frontends/tools/fuzz/judge.h"
#include "optim/rewrite/pass.h"

namespace fovea::tools {
namespace {

struct FuzzOptions {
  int64_t graphs = 1000, mutants = 1000;
  std::optional<uint64_t> seed;
  int threads = 0;
  int64_t most = 10;
  bool rules = false;
};

// A kind of case and what judges it.
struct Kind {
  const char* name;
  const char* option;
  Judgement (*run)(uint64_t seed);
};

Judgement try_graph(uint64_t seed) {
  Random random(seed);
  return judge_graph(random_graph(random));
}

Judgement try_attention(uint64_t seed) {
  Random random(seed);
  const bool preserved = random.one_in(2);
  return judge_attention(random_attention(random, preserved));
}

class Fuzzer {
 public:
  explicit Fuzzer(const FuzzOptions& options) : options_(options) {}

  int64_t mismatches() const { return mismatches_; }

  // Cases are seeded with consecutive numbers, so that one of them can be run again alone.
  void run(const Kind& kind, int64_t count, uint64_t seed) {
    if (count == 0) return;
    const auto start = std::chrono::steady_clock::now();
    std::atomic<int64_t> next = 0;
    const auto work = [&] {
      for (int64_t i = next++; i < count && mismatches_ < options_.most; i = next++) one(kind, seed, i);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < options_.threads; ++t) others.emplace_back(work);
    work();
    for (std::thread& t : others) t.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const int64_t ran = std::min(next.load(), count);
    fmt::print(
        "{} {} in {:.1f} s ({:.0f} a second): {} results compared, {} too large to; {} cases fused, {} "
        "failed as written\n",
        ran, kind.name, took.count(), static_cast<double>(ran) / took.count(), results_.load(),
        too_large_.load(), fused_.load(), failed_.load());
    results_ = too_large_ = fused_ = failed_ = 0;
  }

 private:
  void one(const Kind& kind, uint64_t seed, int64_t i) {
    const uint64_t own = seed + static_cast<uint64_t>(i);
    Judgement judged;
    try {
      judged = kind.run(own);
    } catch (const std::exception& e) {
      judged.problem = std::string("it throws: ") + e.what();
    }
    results_ += judged.results;
    too_large_ += judged.too_large;
    fused_ += judged.fused;
    failed_ += judged.failed;
    if (judged.problem.empty()) return;
    ++mismatches_;
    std::lock_guard lock(mutex_);
    fmt::print("mismatch: fovea fuzz {} 1 --seed {}\n{}\n", kind.option, own, judged.problem);
  }

  const FuzzOptions& options_;
  std::atomic<int64_t> mismatches_ = 0, results_ = 0, too_large_ = 0, fused_ = 0, failed_ = 0;
  std::mutex mutex_;
};

void print_rules() {
  int64_t never = 0, fired = 0;
  for (const auto& [rule, times] : rule_counts()) {
    fmt::print("  {:10} {}\n", times, rule);
    (times == 0 ? never : fired) += 1;
  }
  fmt::print("{} rules fired, {} never did\n", fired, never);
}

void fuzz(const FuzzOptions& given) {
  FuzzOptions options = given;
  if (options.graphs < 0 || options.mutants < 0) invalid("a number of cases is negative");
  if (options.threads < 0 || options.threads > 1024)
    invalid(fmt::format("--threads is {}, it can be 0 to 1024", options.threads));
  if (options.threads == 0) options.threads = num_threads();
  set_num_threads(1);  // cases run side by side instead
  const uint64_t seed = options.seed ? *options.seed : std::random_device{}();
  fmt::print("seed {}\n", seed);
  Fuzzer fuzzer(options);
  fuzzer.run({"graphs", "--mutants 0 --graphs", try_graph}, options.graphs, seed);
  fuzzer.run({"spellings of attention", "--graphs 0 --mutants", try_attention}, options.mutants, seed);
  print_rules();
  fmt::print("{} mismatches\n", fuzzer.mismatches());
  if (fuzzer.mismatches() > 0)
    fail(ErrorKind::BackendFault, fmt::format("{} cases disagree", fuzzer.mismatches()));
}

}  // namespace

void add_fuzz(CLI::App& app) {
  auto o = std::make_shared<FuzzOptions>();
  CLI::App* cmd = app.add_subcommand("fuzz", "try the optimiser on random graphs and spellings of attention");
  cmd->add_option("--graphs", o->graphs, "random typed graphs (default: 1000)");
  cmd->add_option("--mutants", o->mutants, "random spellings of attention (default: 1000)");
  cmd->add_option("--seed", o->seed, "number of the first case (default: another one each time)");
  cmd->add_option("--threads", o->threads, "cases side by side (default: one for each core)");
  cmd->add_option("--most", o->most, "stop after so many mismatches (default: 10)");
  cmd->footer(
      "Each graph runs untouched on the reference backend, with all passes, and with one pass at a time; its "
      "numbers are\nwhole, so that results must be equal. Each spelling of attention is rewritten at random: "
      "where its meaning stays it\nmust be fused; the result must always agree with the untouched operations "
      "in f64. A mismatch is printed with the\nseed that shows it again; the exit code is then 1. At the end "
      "stands how often each rule has fired.\n\nexample:\n  fovea fuzz --graphs 100000 --mutants 100000 "
      "--seed 1");
  cmd->callback([o] { fuzz(*o); });
}

}  // namespace fovea::tools
