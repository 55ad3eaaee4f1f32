// fovea onnx-test: runs test folders in the layout of ONNX's own tests.
//   NAME/model.onnx
//   NAME/test_data_set_0/input_0.pb, output_0.pb, ...      and gradient_0.pb with --gradients
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "framework/tensor/epsilon.h"
#include "frontends/cpp/trace.h"
#include "frontends/import/onnx.h"
#include "frontends/tools/command.h"
#include "generated/ops.h"
#include "optim/lower/program.h"

namespace fovea::tools {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> folders;
  bool gradients = false, quiet = false;
  std::string backend = "cpu";
  int threads = 0;
};

struct Outcome {
  enum Kind { passed, failed, skipped } kind = passed;
  std::string reason;
};

// PREFIX_0.pb, PREFIX_1.pb, ... as far as they go; with holes for gradients, which some inputs lack.
std::map<size_t, Array> numbered(const fs::path& folder, const std::string& prefix) {
  std::map<size_t, Array> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".pb")) continue;
    const std::string digits = name.substr(prefix.size(), name.size() - prefix.size() - 3);
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    out[std::stoul(digits)] = load_onnx_tensor(entry.path().string()).second;
  }
  return out;
}

// "" where the arrays agree. Numbers: |got - want| <= atol + rtol |want|, with ONNX's rtol 1e-3 and atol
// 1e-7, at least two places in the last bit of a half type, and four of the tensor's largest value.
std::string difference(const Array& got, const Array& want, const std::string& what) {
  if (got.dtype() != want.dtype() || got.shape() != want.shape())
    return fmt::format("{} is {}, expected {}", what,
                       to_string(TensorType{got.dtype(), to_shape(got.shape())}),
                       to_string(TensorType{want.dtype(), to_shape(want.shape())}));
  if (!is_floating(want.dtype())) {
    const auto a = got.to_vector<int64_t>(), b = want.to_vector<int64_t>();
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i]) return fmt::format("{}: element {} is {}, expected {}", what, i, a[i], b[i]);
    return "";
  }
  const auto a = got.to_vector<double>(), b = want.to_vector<double>();
  double largest = 0;
  for (double x : b)
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  const double rtol = std::max(1e-3, 2 * epsilon(want.dtype()));
  const double atol = std::max(1e-7, 4 * epsilon(want.dtype()) * largest);
  for (size_t i = 0; i < a.size(); ++i) {
    const bool same = std::isnan(b[i])   ? std::isnan(a[i])
                      : std::isinf(b[i]) ? a[i] == b[i]
                                         : std::abs(a[i] - b[i]) <= atol + rtol * std::abs(b[i]);
    if (!same) return fmt::format("{}: element {} is {:.9g}, expected {:.9g}", what, i, a[i], b[i]);
  }
  return "";
}

// "" where got is within 1e-4 of want, both measured by their norms.
std::string gradient_difference(const Array& got, const Array& want, const std::string& what) {
  if (got.shape() != want.shape())
    return fmt::format("{} has shape {}, expected {}", what, to_string(got.shape()), to_string(want.shape()));
  const auto a = got.to_vector<double>(), b = want.to_vector<double>();
  double apart = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    apart += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] == b[i]) norm += b[i] * b[i];
  apart = std::sqrt(apart), norm = std::sqrt(norm);
  if (apart <= 1e-4 * norm + 1e-9) return "";
  return fmt::format("{}: off by {:.3g} of its norm {:.6g}", what, norm > 0 ? apart / norm : apart, norm);
}

class Test {
 public:
  Test(fs::path folder, const Options& options) : folder_(std::move(folder)), options_(options) {}

  Outcome run() {
    std::vector<fs::path> sets;
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.is_directory() && entry.path().filename().string().starts_with("test_data_set_"))
        sets.push_back(entry.path());
    std::sort(sets.begin(), sets.end());
    if (sets.empty()) return {Outcome::skipped, "it has no test_data_set_N"};
    for (const fs::path& set : sets) {
      Outcome outcome = run_set(set);
      if (outcome.kind != Outcome::passed) return outcome;
    }
    return {};
  }

 private:
  // What the model or the files ask for that Fovea does not have is a skip; all else is a failure.
  Outcome run_set(const fs::path& set) {
    try {
      const std::string reason = compare(set);
      return {reason.empty() ? Outcome::passed : Outcome::failed, reason};
    } catch (const Error& e) {
      return {e.kind() == ErrorKind::Unsupported ? Outcome::skipped : Outcome::failed, e.what()};
    } catch (const std::exception& e) {
      return {Outcome::failed, e.what()};
    }
  }

  std::string compare(const fs::path& set) {
    const std::string path = (folder_ / "model.onnx").string();
    std::shared_ptr<Module> module;
    std::optional<Error> refused;
    try {
      module = import_onnx(path);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::Unsupported) throw;
      refused = e;
    }
    std::vector<Array> args;
    try {
      for (const auto& [i, array] : numbered(set, "input_")) args.push_back(array);
    } catch (const Error&) {
      if (refused) throw *refused;  // inputs that are no tensors belong to such a model
      throw;
    }
    if (refused) module = import_for(path, args, *refused);
    const auto outputs = numbered(set, "output_");
    const Graph& main = module->function("main");
    if (args.size() != main.inputs.size())
      return fmt::format("{} inputs are there, the model has {}", args.size(), main.inputs.size());
    if (outputs.empty()) return "no output is there to compare with";
    Program program(module, "main", compile_options());
    const std::vector<Array> results = program.run(args);
    for (const auto& [i, want] : outputs) {
      if (i >= results.size()) return fmt::format("output {} is not among the model's {}", i, results.size());
      std::string reason = difference(results[i], want, fmt::format("output {}", i));
      if (!reason.empty()) return reason;
    }
    return options_.gradients ? compare_gradients(set, module, args) : "";
  }

  // Shapes, axes and counts are often inputs in these tests; a model that cannot be read without them is read
  // for these.
  static std::shared_ptr<Module> import_for(const std::string& path, const std::vector<Array>& args,
                                            const Error& refused) {
    OnnxOptions options;
    for (size_t i = 0; i < args.size(); ++i) {
      const bool whole = !is_floating(args[i].dtype());  // floating ones: bounds, steps, scales
      if (whole ? args[i].size() <= 1024 : args[i].rank() <= 1 && args[i].size() <= 16)
        options.positional_values[i] = args[i];
    }
    if (options.positional_values.empty()) throw refused;
    return import_onnx(path, options);
  }

  // The gradient of the sum of squares of all outputs.
  std::string compare_gradients(const fs::path& set, const std::shared_ptr<Module>& module,
                                const std::vector<Array>& args) {
    const auto expected = numbered(set, "gradient_");
    std::vector<int64_t> wrt;
    for (const auto& [i, array] : expected) {
      if (i >= args.size()) return fmt::format("gradient {} is of no input", i);
      wrt.push_back(static_cast<int64_t>(i));
    }
    if (wrt.empty()) return "";
    const Function loss = [](const std::vector<Tensor>& in) {
      Tensor total;
      for (const Tensor& y : call("main", in)) {
        if (!is_floating(y.dtype())) continue;
        const Tensor squares = sum(y * y);
        total = total.defined() ? total + squares : squares;
      }
      return std::vector<Tensor>{total};
    };
    const Graph& main = module->function("main");
    std::vector<Spec> specs;
    for (size_t i = 0; i < args.size(); ++i) {
      const TensorType& type = main.nodes[static_cast<size_t>(main.inputs[i])].outputs[0];
      specs.emplace_back(type.dtype, type.shape, main.input_name(i));
    }
    const std::string name = trace_into(module, grad(loss, wrt), specs, "gradients");
    Program program(module, name, compile_options());
    const std::vector<Array> got = program.run(args);
    for (size_t k = 0; k < wrt.size(); ++k) {
      std::string reason = gradient_difference(got[k], expected.at(static_cast<size_t>(wrt[k])),
                                               fmt::format("gradient {}", wrt[k]));
      if (!reason.empty()) return reason;
    }
    return "";
  }

  CompileOptions compile_options() const {
    CompileOptions out;
    out.backend = options_.backend;
    return out;
  }

  fs::path folder_;
  const Options& options_;
};

// Test folders at or below `root`, sorted.
std::vector<fs::path> tests_below(const fs::path& root) {
  if (fs::exists(root / "model.onnx")) return {root};
  if (!fs::is_directory(root)) fail(ErrorKind::IO, fmt::format("\"{}\" is no folder", root.string()));
  std::vector<fs::path> out;
  for (auto at = fs::recursive_directory_iterator(root); at != fs::recursive_directory_iterator(); ++at) {
    if (at.depth() > 8) at.pop();
    if (at == fs::recursive_directory_iterator()) break;
    if (at->is_regular_file() && at->path().filename() == "model.onnx")
      out.push_back(at->path().parent_path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string one_line(std::string text) {
  for (size_t at; (at = text.find('\n')) != std::string::npos;) text.replace(at, 1, "; ");
  return text;
}

void onnx_test(const Options& options) {
  if (options.threads > 0) set_num_threads(options.threads);
  int64_t counts[3] = {};
  for (const std::string& root : options.folders) {
    const auto tests = tests_below(root);
    if (tests.empty()) fmt::print(stderr, "fovea: \"{}\" holds no model.onnx\n", root);
    for (const fs::path& folder : tests) {
      const Outcome outcome = Test(folder, options).run();
      ++counts[outcome.kind];
      static constexpr const char* words[] = {"pass", "FAIL", "skip"};
      const std::string name = folder.filename().string();
      if (outcome.kind == Outcome::passed) {
        if (!options.quiet) fmt::print("pass  {}\n", name);
      } else
        fmt::print("{}  {}: {}\n", words[outcome.kind], name, one_line(outcome.reason));
      std::fflush(stdout);
    }
  }
  fmt::print("{} passed, {} failed, {} skipped\n", counts[Outcome::passed], counts[Outcome::failed],
             counts[Outcome::skipped]);
  if (counts[Outcome::failed] > 0) throw CLI::RuntimeError(1);
}

}  // namespace

void add_onnx_test(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("onnx-test", "run test folders of ONNX models and compare");
  cmd->add_option("folders", o->folders, "folders with model.onnx and test_data_set_N, or folders of such")
      ->required();
  cmd->add_flag("--gradients", o->gradients,
                "also compare gradients of the sum of squares of all outputs with gradient_N.pb");
  cmd->add_flag("--quiet", o->quiet, "no lines for what passes");
  cmd->add_option("--backend", o->backend, "cpu, or reference for plain loops")->capture_default_str();
  cmd->add_option("--threads", o->threads, "threads (default: one for each core)");
  cmd->footer("example:\n  fovea onnx-test --gradients tests/node/test_softmax_axis_1");
  cmd->callback([o] { onnx_test(*o); });
}

}  // namespace fovea::tools
