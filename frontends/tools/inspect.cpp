// fovea inspect: what a .fovea or .safetensors file holds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "framework/base/file.h"
#include "frontends/data/utf8.h"
#include "frontends/import/safetensors.h"
#include "frontends/tools/command.h"
#include "graph/serial/model_file.h"

namespace fovea::tools {
namespace {

using Json = nlohmann::ordered_json;

struct TensorRow {
  std::string name, dtype;
  Dims shape;
  int64_t bytes;
  int64_t elements() const { return product(shape); }
};

// What both formats have.
struct Contents {
  std::string format;
  int64_t file_bytes = 0;
  std::vector<TensorRow> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;
};

bool is_weight(const std::string& name) { return name.starts_with("param/") || name.starts_with("buffer/"); }

// "1,234,567"
std::string grouped(int64_t n) {
  std::string text = std::to_string(n);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::string size_text(int64_t bytes) {
  if (bytes < 10 * 1024) return grouped(bytes) + " bytes";
  if (bytes < 10 * 1024 * 1024) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024 * 1024));
}

// A value that a line can show: UTF-8 without control characters.
bool is_short_text(const std::string& value) {
  return value.size() <= 400 && data::find_bad_utf8(value) < 0 &&
         std::none_of(value.begin(), value.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// A name out of a file, which may hold anything.
std::string clean(std::string text) {
  const bool good = data::find_bad_utf8(text) < 0;
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || (!good && static_cast<unsigned char>(c) >= 0x80))
      c = '?';
  return text;
}

std::vector<TensorRow> rows(const std::vector<TensorSummary>& tensors) {
  std::vector<TensorRow> out;
  for (const TensorSummary& t : tensors)
    out.push_back({t.name, std::string(to_string(t.dtype)), t.shape, t.bytes});
  return out;
}

std::string signature(const std::vector<std::pair<std::string, TensorType>>& values) {
  std::string text;
  for (const auto& [name, type] : values)
    if (!is_weight(name))
      text += fmt::format("{}{}{}{}", text.empty() ? "" : ", ", clean(name), name.empty() ? "" : " ",
                          to_string(type));
  return text;
}

int64_t weight_count(const FunctionSummary& f) {
  return std::count_if(f.inputs.begin(), f.inputs.end(), [](const auto& in) { return is_weight(in.first); });
}

Json values_json(const std::vector<std::pair<std::string, TensorType>>& values, bool weights) {
  Json out = Json::array();
  for (const auto& [name, type] : values)
    if (is_weight(name) == weights) out.push_back({{"name", clean(name)}, {"type", to_string(type)}});
  return out;
}

Json contents_json(const Contents& c) {
  Json j{{"format", c.format}, {"bytes", c.file_bytes}};
  int64_t elements = 0, bytes = 0, parameters = 0;
  Json tensors = Json::array();
  for (const TensorRow& t : c.tensors) {
    elements += t.elements();
    bytes += t.bytes;
    if (t.name.starts_with("param/")) parameters += t.elements();
    tensors.push_back({{"name", clean(t.name)}, {"dtype", t.dtype}, {"shape", t.shape}, {"bytes", t.bytes}});
  }
  j["totals"] = {
      {"tensors", c.tensors.size()}, {"elements", elements}, {"bytes", bytes}, {"parameters", parameters}};
  j["tensors"] = std::move(tensors);
  Json metadata = Json::object();
  for (const auto& [key, value] : c.metadata) {
    metadata[clean(key)] = {{"bytes", value.size()}};
    if (is_short_text(value)) metadata[clean(key)]["text"] = value;
  }
  j["metadata"] = std::move(metadata);
  return j;
}

Json functions_json(const FileSummary& s) {
  Json out = Json::array();
  for (const FunctionSummary& f : s.functions)
    out.push_back({{"name", clean(f.name)},
                   {"entry_point", f.entry_point},
                   {"nodes", f.nodes},
                   {"weights", weight_count(f)},
                   {"inputs", values_json(f.inputs, false)},
                   {"outputs", values_json(f.outputs, false)}});
  return out;
}

// "blocks.3.attn.q.weight" belongs to "blocks".
std::string top_module(const std::string& name) {
  const size_t slash = is_weight(name) ? name.find('/') + 1 : 0;
  const size_t dot = name.find('.', slash);
  return name.substr(slash, dot == std::string::npos ? dot : dot - slash);
}

void print_totals(const Contents& c) {
  struct Total {
    const char* prefix;
    const char* what;
    int64_t tensors = 0, elements = 0, bytes = 0;
  };
  Total totals[] = {{"param/", "parameters"}, {"buffer/", "buffers"}, {"", "other tensors"}};
  std::vector<std::pair<std::string, int64_t>> modules;
  for (const TensorRow& t : c.tensors) {
    Total& total = *std::find_if(std::begin(totals), std::end(totals),
                                 [&](const Total& x) { return t.name.starts_with(x.prefix); });
    ++total.tensors;
    total.elements += t.elements();
    total.bytes += t.bytes;
    if (!t.name.starts_with("param/")) continue;
    const std::string module = top_module(t.name);
    const auto at =
        std::find_if(modules.begin(), modules.end(), [&](const auto& m) { return m.first == module; });
    if (at == modules.end())
      modules.emplace_back(module, t.elements());
    else
      at->second += t.elements();
  }
  fmt::print("\ntotals\n");
  for (const Total& t : totals)
    if (t.tensors > 0)
      fmt::print("  {:<14} {:>14} elements in {} tensors, {}\n", t.what, grouped(t.elements), t.tensors,
                 size_text(t.bytes));
  if (modules.empty()) return;
  fmt::print("\nparameters by module\n");
  for (const auto& [name, elements] : modules)
    fmt::print("  {:<14} {:>14}\n", clean(name), grouped(elements));
}

void print_contents(const Contents& c) {
  if (!c.tensors.empty()) {
    size_t width = 4;
    for (const TensorRow& t : c.tensors) width = std::max(width, std::min<size_t>(t.name.size(), 60));
    fmt::print("\n{:<{}}  {:<5} {:<22} {:>14}\n", "name", width, "type", "shape", "bytes");
    for (const TensorRow& t : c.tensors)
      fmt::print("{:<{}}  {:<5} {:<22} {:>14}\n", clean(t.name), width, t.dtype, to_string(t.shape),
                 grouped(t.bytes));
  }
  print_totals(c);
  if (!c.metadata.empty()) fmt::print("\nmetadata\n");
  for (const auto& [key, value] : c.metadata)
    fmt::print("  {:<20} {:>10} bytes{}{}\n", clean(key), grouped(static_cast<int64_t>(value.size())),
               is_short_text(value) ? "  " : "", is_short_text(value) ? value : "");
}

void print_functions(const FileSummary& s) {
  for (const bool entry : {true, false}) {
    bool first = true;
    for (const FunctionSummary& f : s.functions) {
      if (f.entry_point != entry) continue;
      if (std::exchange(first, false))
        fmt::print("\n{}\n", entry ? "entry points" : "functions that these call");
      fmt::print("  {}({}) -> ({})\n      {} nodes, {} weights\n", clean(f.name), signature(f.inputs),
                 signature(f.outputs), f.nodes, weight_count(f));
    }
  }
  std::string ops;
  for (const auto& [name, version] : s.ops)
    ops += fmt::format("{}{}{}", ops.empty() ? "" : ", ", clean(name),
                       version == 1 ? "" : fmt::format(" (version {})", version));
  if (!ops.empty()) fmt::print("\nops\n  {}\n", ops);
}

void inspect_model(const std::string& path, bool json) {
  const FileSummary s = fovea::inspect(path);
  Contents c{fmt::format("fovea {}.{}", s.version_major, s.version_minor), s.file_bytes, rows(s.tensors), {}};
  for (const auto& [key, value] : load(path, {.tensors = false}).metadata)
    c.metadata.emplace_back(key, value);
  if (json) {
    Json j = contents_json(c);
    j["producer"] = clean(s.producer);
    j["graph_bytes"] = s.graph_bytes;
    j["functions"] = functions_json(s);
    j["constants"] = Json::array();
    for (const TensorRow& t : rows(s.constants))
      j["constants"].push_back({{"dtype", t.dtype}, {"shape", t.shape}, {"bytes", t.bytes}});
    j["ops"] = Json::object();
    for (const auto& [name, version] : s.ops) j["ops"][clean(name)] = version;
    fmt::print("{}\n", j.dump());
    return;
  }
  fmt::print("{}: a Fovea file of version {}.{} by {}, {} (graph {}, {} constants)\n", path, s.version_major,
             s.version_minor, clean(s.producer), size_text(s.file_bytes), size_text(s.graph_bytes),
             s.constants.size());
  print_functions(s);
  print_contents(c);
}

void inspect_safetensors(const std::string& path, bool json) {
  std::map<std::string, std::string> metadata;
  Contents c{"safetensors", FileReader(path).size(), {}, {}};
  for (const auto& [name, array] : load_safetensors(path, &metadata))
    c.tensors.push_back({name, std::string(to_string(array.dtype())), array.shape(), array.nbytes()});
  c.metadata.assign(metadata.begin(), metadata.end());
  if (json) {
    fmt::print("{}\n", contents_json(c).dump());
    return;
  }
  fmt::print("{}: a safetensors file, {}\n", path, size_text(c.file_bytes));
  print_contents(c);
}

// Eight bytes of length and then JSON: no .fovea file begins like that.
bool looks_like_safetensors(const std::string& path) {
  const FileReader file(path);
  return path.ends_with(".safetensors") || (file.size() > 8 && file.read_text(8, 1, "the header") == "{");
}

}  // namespace

void add_inspect(CLI::App& app) {
  struct Options {
    std::string file;
    bool json = false;
  };
  auto o = std::make_shared<Options>();
  CLI::App* cmd = app.add_subcommand("inspect", "show what a .fovea or .safetensors file holds");
  cmd->add_option("file", o->file, "a model, a checkpoint, or a safetensors file")->required();
  cmd->add_flag("--json", o->json, "one JSON line instead of text");
  cmd->footer("examples:\n  fovea inspect runs/vit/model.fovea\n  fovea inspect weights.safetensors --json");
  cmd->callback([o] {
    looks_like_safetensors(o->file) ? inspect_safetensors(o->file, o->json) : inspect_model(o->file, o->json);
  });
}

}  // namespace fovea::tools
