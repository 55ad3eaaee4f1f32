// fovea graph: the functions of a .fovea or .onnx file as text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "framework/base/error.h"
#include "frontends/tools/command.h"
#include "frontends/tools/load_module.h"
#include "graph/text/text.h"
#include "optim/rewrite/optimise.h"

namespace fovea::tools {

void add_graph(CLI::App& app) {
  struct Options {
    std::string file, function, after;
  };
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("graph", "print the graph of a .fovea or .onnx file as text");
  cmd->add_option("file", o->file, "a model, a checkpoint or an ONNX model")->required();
  cmd->add_option("--function", o->function, "only this function (default: all, with their constants)");
  cmd->add_option("--after", o->after,
                  "as it is after this pass; 'expanded:PASS': with gradients expanded. Needs --function");
  cmd->footer(
      "example:\n  fovea graph runs/vit/model.fovea --function predict\n  fovea graph runs/vit/model.fovea "
      "--function predict --after algebra");
  cmd->callback([o] {
    if (!o->after.empty() && o->function.empty()) invalid("--after needs --function");
    const auto module = load_any_module(o->file);
    if (!o->after.empty()) {
      PassContext context{module};
      fmt::print("{}", print(*module, *optimise_until(o->function, context, o->after)));
    } else {
      fmt::print("{}", o->function.empty() ? print(*module) : print(*module, module->function(o->function)));
    }
  });
}

}  // namespace fovea::tools
