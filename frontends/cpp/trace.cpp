#include "frontends/cpp/trace.h"

#include <map>
#include <mutex>

#include "framework/base/error.h"
#include "frontends/cpp/record.h"
#include "graph/build/builder.h"

namespace fovea {
namespace {

using Operands = std::vector<Tensor>;

// An op that names fn: its operands are args, then what fn captured, then `extra`.
Operands apply_function(const std::string& op, const std::shared_ptr<Module>& module, const Function& fn,
                        const Operands& args, Source source) {
  const Recorded r = record(module, fn, specs_of(args), op);
  Operands all = args;
  all.insert(all.end(), r.captures.begin(), r.captures.end());
  return apply(op, all, {{"function", FunctionRef{r.name}}}, source);
}

}  // namespace

std::shared_ptr<Module> trace(const Function& fn, const std::vector<Spec>& args, const std::string& name) {
  auto module = std::make_shared<Module>();
  trace_into(module, fn, args, name);
  return module;
}

std::string trace_into(const std::shared_ptr<Module>& module, const Function& fn,
                       const std::vector<Spec>& args, const std::string& name) {
  const Recorded r = record(module, fn, args, name);
  if (!r.captures.empty())
    invalid("function '" + name + "' uses a traced tensor of another function: pass it as an argument");
  return r.name;
}

Function compile(Function fn, CompileOptions options, Source source) {
  struct State {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<Program>> programs;
  };
  auto state = std::make_shared<State>();
  return [fn = std::move(fn), options = std::move(options), state, source](const Operands& args) -> Operands {
    bool traced = Builder::current() != nullptr;
    std::string key;
    std::vector<Array> arrays;
    for (const Tensor& a : args) {
      traced = traced || a.traced();
      if (traced) break;
      key += to_string(a.type()) + ";";
      arrays.push_back(a.array());
    }
    if (traced)
      return in_trace(args, [&](const auto& module, const Operands& in) {
        return apply_function("call", module, fn, in, source);
      });
    std::shared_ptr<Program> program;
    {
      std::lock_guard lock(state->mutex);
      auto& slot = state->programs[key];
      if (!slot) {
        auto module = std::make_shared<Module>();
        slot = std::make_shared<Program>(module, record(module, fn, specs_of(args), "main").name, options);
      }
      program = slot;
    }
    Operands out;
    for (Array& a : program->run(arrays)) out.emplace_back(std::move(a));
    return out;
  };
}

Function value_and_grad(Function fn, std::vector<int64_t> wrt, Source source) {
  return [fn = std::move(fn), wrt = std::move(wrt), source](const Operands& args) -> Operands {
    for (int64_t w : wrt)
      if (w < 0 || static_cast<size_t>(w) >= args.size())
        invalid_at(source, "value_and_grad: argument " + std::to_string(w) + " of a function called with " +
                               std::to_string(args.size()));
    return in_trace(args, [&](const std::shared_ptr<Module>& module, const Operands& in) {
      DType dtype = DType::f32;
      auto checked = [&](const Operands& a) {
        Operands out = fn(a);
        if (out.empty() || out[0].rank() != 0 || !is_floating(out[0].dtype()))
          invalid_at(source,
                     "value_and_grad: the function must return a floating scalar first, it returned " +
                         (out.empty() ? std::string("nothing") : to_string(out[0].type())));
        dtype = out[0].dtype();
        return out;
      };
      const Recorded r = record(module, checked, specs_of(in), "differentiated");
      Operands all = in;
      all.insert(all.end(), r.captures.begin(), r.captures.end());
      all.push_back(apply1("full", {}, {{"shape", Shape{}}, {"value", 1.0}, {"dtype", dtype}}, source));
      return apply("vjp", all, {{"function", FunctionRef{r.name}}, {"wrt", wrt}, {"seeds", Ints{0}}}, source);
    });
  };
}

Function grad(Function fn, std::vector<int64_t> wrt, Source source) {
  const auto count = static_cast<std::ptrdiff_t>(wrt.size());
  return [both = value_and_grad(std::move(fn), std::move(wrt), source), count](const Operands& args) {
    Operands out = both(args);
    return Operands(out.end() - count, out.end());
  };
}

Function checkpoint(Function fn, Source source) {
  return [fn = std::move(fn), source](const Operands& args) -> Operands {
    return in_trace(args, [&](const auto& module, const Operands& in) {
      return apply_function("checkpoint", module, fn, in, source);
    });
  };
}

Function custom_gradient(Function fn, Function backward, Source source) {
  return [fn = std::move(fn), backward = std::move(backward), source](const Operands& args) -> Operands {
    return in_trace(args, [&](const std::shared_ptr<Module>& module, const Operands& in) {
      const Recorded forward = record(module, fn, specs_of(in), "custom_vjp");
      if (!forward.captures.empty())
        invalid_at(source, "custom_gradient: the function uses a traced tensor that is not an argument");
      const Graph& graph = module->function(forward.name);
      std::vector<Spec> specs = specs_of(in);
      for (int twice = 0; twice < 2; ++twice)
        for (const Value& v : graph.outputs) specs.emplace_back(graph.type(v).dtype, graph.type(v).shape);
      const Recorded back = record(module, backward, specs, forward.name + ".backward");
      if (!back.captures.empty())
        invalid_at(source,
                   "custom_gradient: the backward function uses a traced tensor that is not an argument");
      return apply("custom_vjp", in,
                   {{"function", FunctionRef{forward.name}}, {"backward", FunctionRef{back.name}}}, source);
    });
  };
}

}  // namespace fovea
