#include "frontends/tools/bench_onnx.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/tools/load_module.h"
#include "frontends/tools/profile.h"
#include "optim/lower/program.h"

namespace fovea::tools {
namespace {

double milliseconds() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

double rounded(double x) { return std::stod(fmt::format("{:.5f}", x)); }

}  // namespace

void bench_onnx(const BenchOnnxOptions& options) {
  ModuleOptions module_options;
  for (const std::string& text : options.shapes) module_options.shapes.insert(parse_shape_option(text));
  const double begin = milliseconds();
  const auto module = load_any_module(options.file, module_options);
  const double loaded = milliseconds();
  const std::vector<Array> args = make_arguments(module->function("main"), {});
  const double made = milliseconds();
  Program program(module, "main");
  program.plan(args);
  const double planned = milliseconds();
  for (int i = 0; i < 3; ++i) program.run(args);
  std::vector<double> times;
  for (int i = 0; i < options.steps; ++i) {
    const double t = milliseconds();
    program.run(args);
    times.push_back(milliseconds() - t);
  }
  std::sort(times.begin(), times.end());
  if (!options.profile.empty()) write_trace(options.profile, fastest_launches([&] { program.run(args); }));
  const double median = (times[(times.size() - 1) / 2] + times[times.size() / 2]) / 2;
  if (options.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{{"file", options.file},
                                      {"threads", num_threads()},
                                      {"ms", {{"min", rounded(times[0])}, {"median", rounded(median)}}},
                                      {"load_ms", rounded(loaded - begin)},
                                      {"compile_ms", rounded(planned - made)},
                                      {"nodes", program.graph().nodes.size()}}
                   .dump());
    return;
  }
  fmt::print("{}: {:.3f} ms a call (least {:.3f}), loaded in {:.0f} ms, compiled in {:.0f} ms, {} threads\n",
             options.file, median, times[0], loaded - begin, planned - made, num_threads());
}

}  // namespace fovea::tools
