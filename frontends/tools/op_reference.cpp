#include "frontends/tools/op_reference.h"

#include <fmt/format.h>

#include <cctype>
#include <filesystem>

#include "framework/backend/kernel.h"
#include "framework/base/error.h"
#include "framework/base/file.h"

namespace fovea::tools {
namespace {

std::string join(const std::vector<std::string>& list, const char* between) {
  std::string text;
  for (const std::string& s : list) text += (text.empty() ? "" : between) + s;
  return text;
}

// "x, w, bias?, more..."
std::string operands(const OpDecl& op) {
  std::vector<std::string> list;
  for (const OperandDecl& o : op.inputs())
    list.push_back(o.name + (o.variadic ? "..." : o.optional ? "?" : ""));
  return join(list, ", ");
}

// "matmul(a, b)", with the results where the op names them.
std::string signature(const OpDecl& op) {
  return fmt::format("{}({}){}{}", op.name(), operands(op), op.outputs().empty() ? "" : " -> ",
                     join(op.outputs(), ", "));
}

std::string operand_notes(const OperandDecl& o) {
  return std::string(describe(o.types)) + (o.variadic ? ", any number" : o.optional ? ", optional" : "");
}

std::string attr_default(const AttrDecl& a) { return a.required ? "required" : to_string(a.fallback); }

std::string kernel_names(const OpDecl& op, const char* backend) {
  std::vector<std::string> list;
  for (const Kernel* k : kernels_for(backend, op.name())) list.push_back(k->name());
  return join(list, ", ");
}

std::string kernels_line(const OpDecl& op, const char* backend) {
  const std::string names = kernel_names(op, backend);
  if (!names.empty()) return names;
  return op.is_core() ? "none" : "none: through its decomposition";
}

std::string gradient_sentence(const OpDecl& op) {
  const std::string from = gradient_of(op);
  if (from == "rule") return "a rule of its own";
  if (from == "decomposition") return "that of its decomposition";
  return "none: gradients stop here";
}

// "x f32[2, 5], axis = -1 -> f32[2, 5]"; "" for an example that cannot be checked on its own.
std::string example(const OpDecl& op, const Sample& sample) {
  std::vector<std::string> parts;
  std::vector<TensorType> in;
  for (size_t i = 0; i < sample.in.size(); ++i) {
    in.push_back({sample.in[i].type, to_shape(sample.in[i].shape)});
    const std::string name = op.inputs().empty() ? "" : op.inputs()[std::min(i, op.inputs().size() - 1)].name;
    parts.push_back(name + " " + to_string(in.back()));
  }
  for (const auto& [name, value] : sample.attrs) parts.push_back(name + " = " + to_string(value));
  try {
    Attrs attrs = sample.attrs;
    const Module none;
    std::vector<std::string> out;
    for (const TensorType& t : op.check(attrs, in, &none, nullptr)) out.push_back(to_string(t));
    return join(parts, ", ") + " -> " + join(out, ", ");
  } catch (const Error&) {
    return "";
  }
}

// A text in the cell of a table.
std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find_first_of("|\n", at)) != std::string::npos; at += 2)
    text.replace(at, 1, text[at] == '|' ? "\\|" : "  ");
  return text;
}

}  // namespace

const char* describe(Types types) {
  switch (types) {
    case Types::any:
      return "any type";
    case Types::floating:
      return "floating";
    case Types::integer:
      return "integer";
    case Types::index:
      return "i32 or i64";
    case Types::boolean:
      return "bool";
    case Types::numeric:
      return "any type but bool";
  }
  return "";
}

const char* kind_of(const AttrValue& value) {
  static constexpr const char* kKinds[] = {"flag",     "integer", "number", "text",    "dtype",
                                           "integers", "numbers", "shape",  "function"};
  static_assert(std::variant_size_v<AttrValue> == std::size(kKinds));
  return kKinds[value.index()];
}

const char* gradient_of(const OpDecl& op) {
  if (!op.is_differentiable()) return "none";
  if (op.gradient_fn()) return "rule";
  return op.is_core() ? "none" : "decomposition";
}

std::vector<std::string> traits_of(const OpDecl& op) {
  std::vector<std::string> out;
  if (op.is_pointwise()) out.emplace_back("pointwise");
  if (op.is_commutative()) out.emplace_back("commutative");
  if (op.is_view()) out.emplace_back("view");
  if (op.is_random()) out.emplace_back("random");
  if (op.has_side_effect()) out.emplace_back("side effect");
  return out;
}

std::string first_sentence(const std::string& doc) {
  size_t end = std::min(doc.find('\n'), doc.size());
  // The full stop of "et al. 2017" ends no sentence.
  for (size_t at = doc.find(". "); at < end; at = doc.find(". ", at + 1))
    if (at + 2 < doc.size() && std::isupper(static_cast<unsigned char>(doc[at + 2]))) end = at + 1;
  if (end > 0 && doc[end - 1] == '.') --end;
  return doc.substr(0, end);
}

std::string op_text(const OpDecl& op) {
  std::string t = fmt::format("{}\n{} op, version {}\n\n{}\n", signature(op),
                              op.is_core() ? "core" : "composite", op.version(), op.doc());
  if (!op.inputs().empty()) t += "\noperands\n";
  for (const OperandDecl& o : op.inputs()) t += fmt::format("  {:<18} {}\n", o.name, operand_notes(o));
  if (!op.attrs().empty()) t += "\nattributes\n";
  for (const AttrDecl& a : op.attrs())
    t += fmt::format("  {:<18} {:<9} {:<12} {}\n", a.name, kind_of(a.fallback), attr_default(a), a.doc);
  t += fmt::format("\ngradient: {}\n", gradient_sentence(op));
  if (const auto traits = traits_of(op); !traits.empty())
    t += fmt::format("traits: {}\n", join(traits, ", "));
  t += "\nkernels\n";
  for (const char* backend : kBackends) t += fmt::format("  {:<18} {}\n", backend, kernels_line(op, backend));
  std::string examples;
  for (const Sample& s : op.samples())
    if (const std::string e = example(op, s); !e.empty()) examples += "  " + e + "\n";
  return examples.empty() ? t : t + "\nexamples\n" + examples;
}

std::string op_page(const OpDecl& op) {
  std::string t = fmt::format("# {}\n\n`{}`: {} op, version {}.\n\n{}\n", op.name(), signature(op),
                              op.is_core() ? "core" : "composite", op.version(), op.doc());
  if (!op.inputs().empty()) t += "\n| operand | types |\n| --- | --- |\n";
  for (const OperandDecl& o : op.inputs()) t += fmt::format("| `{}` | {} |\n", o.name, operand_notes(o));
  if (!op.attrs().empty()) t += "\n| attribute | kind | default | |\n| --- | --- | --- | --- |\n";
  for (const AttrDecl& a : op.attrs())
    t += fmt::format("| `{}` | {} | {} | {} |\n", a.name, kind_of(a.fallback),
                     a.required ? "required" : "`" + cell(attr_default(a)) + "`", cell(a.doc));
  t += fmt::format("\nGradient: {}.", gradient_sentence(op));
  if (const auto traits = traits_of(op); !traits.empty())
    t += fmt::format(" Traits: {}.", join(traits, ", "));
  t += "\n\n| backend | kernels |\n| --- | --- |\n";
  for (const char* backend : kBackends) t += fmt::format("| {} | {} |\n", backend, kernels_line(op, backend));
  std::string examples, errors;
  for (const Sample& s : op.samples())
    if (const std::string e = example(op, s); !e.empty()) examples += e + "\n";
  if (!examples.empty()) t += "\nExamples:\n\n```text\n" + examples + "```\n";
  for (const Sample& s : op.error_samples()) errors += "- " + s.error + "\n";
  if (!errors.empty()) t += "\nErrors, among others:\n\n" + errors;
  return t;
}

size_t write_op_reference(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_errno(error.value(), "make the folder", folder);
  std::string core, composite;
  const std::vector<const OpDecl*> all = all_ops();
  for (const OpDecl* op : all) {
    write_file(folder + "/" + op->name() + ".md", op_page(*op));
    (op->is_core() ? core : composite) +=
        fmt::format("| [{0}]({0}.md) | {1} |\n", op->name(), cell(first_sentence(op->doc())));
  }
  write_file(folder + "/README.md",
             "# docs/ops\n\nA page an op, generated from the op's declaration by `fovea ops --markdown "
             "docs/ops`. Edit the declaration, not the page.\n"
             "\n## Core ops\n\nThe closed set that everything else is made of.\n\n| op | |\n| --- | --- |\n" +
                 core +
                 "\n## Composite ops\n\nEach means its decomposition into core ops; backends may have "
                 "kernels for them.\n\n| op | |\n| --- | --- |\n" +
                 composite);
  return all.size();
}

}  // namespace fovea::tools
