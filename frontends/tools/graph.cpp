// fovea graph: the functions of a .fovea or .onnx file as text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "frontends/tools/command.h"
#include "frontends/tools/load_module.h"
#include "graph/text/text.h"

namespace fovea::tools {

void add_graph(CLI::App& app) {
  struct Options {
    std::string file, function;
  };
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("graph", "print the graph of a .fovea or .onnx file as text");
  cmd->add_option("file", o->file, "a model, a checkpoint or an ONNX model")->required();
  cmd->add_option("--function", o->function, "only this function (default: all, with their constants)");
  cmd->footer("example:\n  fovea graph runs/vit/model.fovea --function predict");
  cmd->callback([o] {
    const auto module = load_any_module(o->file);
    fmt::print("{}", o->function.empty() ? print(*module) : print(*module, module->function(o->function)));
  });
}

}  // namespace fovea::tools
