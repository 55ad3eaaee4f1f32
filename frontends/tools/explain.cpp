// fovea explain: what the compiler fuses in a file, and what it does not and why.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "frontends/tools/command.h"
#include "frontends/tools/functions.h"
#include "frontends/tools/memory_budget.h"
#include "optim/explain/explain.h"

namespace fovea::tools {
namespace {

struct ExplainOptions {
  std::string file, function, backend = "cpu";
  bool json = false, training = false;
  double memory_budget = 0;
  Sizes sizes;
};

void explain_file(ExplainOptions& o) {
  const std::shared_ptr<Module> module = o.sizes.load(o.file);
  auto candidates = nlohmann::ordered_json::array();
  std::string text;
  const std::vector<std::string> entries = entry_points(*module, o.function);
  o.sizes.check(*module, entries);
  for (const std::string& entry : entries) {
    CompileOptions options;
    options.backend = o.backend;
    options.memory_budget = budget_bytes(o.memory_budget);
    const Program program(module, o.training ? add_training(module, entry) : entry, options);
    const Bindings sizes = o.sizes.bindings(program.graph());
    std::shared_ptr<const Plan> plan;
    std::string note = o.sizes.text(program.graph());
    try {
      plan = program.plan_for(sizes);
    } catch (const Error& e) {
      note = fmt::format("no plan for {}: {}\n  hint: --size and --shape give others", note, e.message());
    }
    if (o.json)
      for (auto& c : nlohmann::ordered_json::parse(explain_json(program, plan.get())))
        candidates.push_back(c);
    else
      text += (text.empty() ? "" : "\n") + explain(program, plan.get()) +
              (note.empty() ? "" : "\nsizes: " + note + "\n");
  }
  if (o.json)
    fmt::print("{}\n", candidates.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", text);
}

}  // namespace

void add_explain(CLI::App& app) {
  auto o = std::make_shared<ExplainOptions>();
  CLI::App* cmd = app.add_subcommand("explain", "tell what is fused in a file, and what is not and why");
  cmd->add_option("file", o->file, "a .fovea or .onnx model")->required();
  cmd->add_flag("--json", o->json, "a JSON list of candidates instead of text");
  cmd->add_option("--function", o->function, "only this function (default: all that no other calls)");
  cmd->add_flag("--training", o->training, "of the function and its gradient");
  cmd->add_option("--backend", o->backend, "the backend that will run it")->capture_default_str();
  add_memory_budget(*cmd, o->memory_budget);
  o->sizes.add_options(*cmd);
  cmd->footer(
      "examples:\n  fovea explain runs/vit/model.fovea --training\n  fovea explain bert.onnx --size B=8 "
      "--json\n"
      "  fovea explain runs/vit/model.fovea --training --size B=64 --memory-budget 40");
  cmd->callback([o] { explain_file(*o); });
}

}  // namespace fovea::tools
