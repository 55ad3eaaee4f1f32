// fovea run: runs a saved graph once.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "framework/base/error.h"
#include "framework/runtime/thread_pool.h"
#include "frontends/import/npy.h"
#include "frontends/tools/command.h"
#include "frontends/tools/functions.h"
#include "frontends/tools/load_module.h"
#include "optim/lower/program.h"

namespace fovea::tools {
namespace {

struct Options {
  std::string file, function, output, backend = "cpu";
  std::vector<std::string> inputs, shapes;
  int threads = 0;
  uint64_t seed = 0;
};

// A name that can be a file's.
std::string file_name(const std::string& name, size_t i) {
  std::string out;
  for (char c : name)
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ? c : '_';
  return out.empty() || out[0] == '.' ? fmt::format("output_{}", i) : out;
}

void check_names(const Graph& graph, const std::map<std::string, Array>& given) {
  std::vector<std::string> names;
  for (size_t i = 0; i < graph.inputs.size(); ++i) names.push_back(graph.input_name(i));
  for (const auto& [name, array] : given)
    if (std::find(names.begin(), names.end(), name) == names.end())
      invalid(fmt::format("no input is named '{}'; there are: {}", name, fmt::join(names, ", ")));
}

// The one that was asked for; "main" of ONNX models, "predict" of saved ones, or the only one there is.
const Graph& chosen_function(const Module& module, const std::string& asked) {
  if (!asked.empty()) return module.function(asked);
  for (const char* usual : {"main", "predict"})
    if (module.functions.contains(usual)) return module.function(usual);
  const std::vector<std::string> entries = entry_points(module, "");
  if (entries.size() != 1)
    invalid(fmt::format("which function? --function with one of: {}", fmt::join(entries, ", ")));
  return module.function(entries[0]);
}

void run_graph(const Options& o) {
  if (o.threads > 0) set_num_threads(o.threads);
  std::map<std::string, Array> given;
  for (const std::string& text : o.inputs) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) invalid(fmt::format("'{}' is not of the form name=file.npy", text));
    given[text.substr(0, equals)] = load_array(text.substr(equals + 1));
  }
  ModuleOptions options;
  for (const std::string& text : o.shapes) options.shapes.insert(parse_shape_option(text));
  // Integers may decide shapes; in models where they do not, giving them changes nothing but dead nodes.
  std::shared_ptr<Module> module;
  std::map<std::string, Array> weights;
  try {
    module = load_any_module(o.file, options, &weights);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::Unsupported || given.empty()) throw;
    for (const auto& [name, array] : given)
      if (!is_floating(array.dtype()) && array.size() <= 1024) options.values[name] = array;
    module = load_any_module(o.file, options, &weights);
  }
  const Graph& graph = chosen_function(*module, o.function);
  check_names(graph, given);
  given.merge(weights);
  CompileOptions compile_options;
  compile_options.backend = o.backend;
  Program program(module, graph.name, compile_options);
  Bindings sizes;
  if (!is_onnx(o.file)) {
    const Sizes shapes{.symbols = {}, .shapes = o.shapes};
    shapes.check(*module, {graph.name});
    sizes = shapes.stated(graph);
  }
  const std::vector<Array> results = program.run(make_arguments(graph, given, o.seed, sizes));
  if (!o.output.empty()) std::filesystem::create_directories(o.output);
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string& name = graph.output_names[i];
    if (o.output.empty())
      fmt::print("{} = {}\n", name.empty() ? fmt::format("output {}", i) : name, results[i].str());
    else
      save_npy(fmt::format("{}/{}.npy", o.output, file_name(name, i)), results[i]);
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("run", "run the graph of an .onnx or .fovea file once");
  cmd->add_option("file", o->file, "an ONNX model, or a .fovea file")->required();
  cmd->add_option("--input", o->inputs, "name=FILE.npy (or .pb): what an input holds; others are made up");
  cmd->add_option("--shape", o->shapes, "name=2,3: the shape of an input, where the file leaves sizes open");
  cmd->add_option("--output", o->output, "folder for NAME.npy of each output (default: print them)");
  cmd->add_option("--function", o->function, "the function to run (default: main, predict, or the only one)");
  cmd->add_option("--seed", o->seed, "of made-up inputs")->capture_default_str();
  cmd->add_option("--threads", o->threads, "threads (default: one for each core)");
  cmd->add_option("--backend", o->backend, "cpu, or reference for plain loops")->capture_default_str();
  cmd->footer(
      "examples:\n  fovea run model.onnx --input ids=ids.npy --shape mask=1,16 --output results\n"
      "  fovea run runs/vit/model.fovea --shape images=2,1,28,28");
  cmd->callback([o] { run_graph(*o); });
}

}  // namespace fovea::tools
