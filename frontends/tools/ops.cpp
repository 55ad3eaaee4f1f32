// fovea ops: the ops, one op, or the reference pages of all.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "framework/backend/kernel.h"
#include "frontends/tools/command.h"
#include "frontends/tools/op_reference.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

Json op_json(const OpDecl& op) {
  Json j{{"name", op.name()},
         {"version", op.version()},
         {"kind", op.is_core() ? "core" : "composite"},
         {"doc", op.doc()}};
  j["inputs"] = Json::array();
  for (const OperandDecl& o : op.inputs())
    j["inputs"].push_back(
        {{"name", o.name}, {"types", describe(o.types)}, {"optional", o.optional}, {"variadic", o.variadic}});
  j["outputs"] = op.outputs();
  j["attributes"] = Json::array();
  for (const AttrDecl& a : op.attrs()) {
    Json attribute{{"name", a.name}, {"kind", kind_of(a.fallback)}, {"required", a.required}, {"doc", a.doc}};
    if (!a.required) attribute["default"] = to_string(a.fallback);
    j["attributes"].push_back(std::move(attribute));
  }
  j["gradient"] = gradient_of(op);
  j["traits"] = traits_of(op);
  j["kernels"] = Json::object();
  for (const char* backend : kBackends) {
    j["kernels"][backend] = Json::array();
    for (const Kernel* k : kernels_for(backend, op.name()))
      j["kernels"][backend].push_back({{"name", k->name()}, {"priority", k->priority()}});
  }
  return j;
}

void list_ops(bool json) {
  if (json) {
    Json all = Json::array();
    for (const OpDecl* op : all_ops())
      all.push_back(
          {{"name", op->name()}, {"kind", op->is_core() ? "core" : "composite"}, {"doc", op->doc()}});
    fmt::print("{}\n", all.dump());
    return;
  }
  size_t counts[2] = {0, 0};
  for (const OpDecl* op : all_ops()) {
    ++counts[op->is_core()];
    fmt::print("{:<34} {:<9}  {}\n", op->name(), op->is_core() ? "core" : "composite",
               first_sentence(op->doc()));
  }
  fmt::print("{} core and {} composite ops\n", counts[1], counts[0]);
}

struct Options {
  std::string name, markdown;
  bool json = false;
};

void ops(const Options& o) {
  if (!o.markdown.empty()) {
    const size_t pages = write_op_reference(o.markdown);
    fmt::print(stderr, "{} pages and README.md written to {}\n", pages, o.markdown);
  } else if (o.name.empty()) {
    list_ops(o.json);
  } else if (o.json) {
    fmt::print("{}\n", op_json(find_op(o.name)).dump());
  } else {
    fmt::print("{}", op_text(find_op(o.name)));
  }
}

}  // namespace

void add_ops(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("ops", "list all ops, or show one");
  auto* name = cmd->add_option("name", o->name, "show this op's declaration");
  auto* json = cmd->add_flag("--json", o->json, "one JSON line instead of text");
  cmd->add_option("--markdown", o->markdown, "write a page an op and an index into this folder")
      ->excludes(name)
      ->excludes(json);
  cmd->footer("examples:\n  fovea ops\n  fovea ops softmax --json\n  fovea ops --markdown docs/ops");
  cmd->callback([o] { ops(*o); });
}

}  // namespace fovea::tools
