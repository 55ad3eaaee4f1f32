// Ops on concrete tensors: each is a function of one node, compiled once for each set of attributes and
// types.
#include "optim/lower/eager.h"

#include <list>
#include <map>
#include <mutex>

#include "framework/base/error.h"
#include "graph/build/inline.h"
#include "optim/lower/program.h"

namespace fovea {
namespace {

constexpr size_t kPrograms = 4096;

class Cache {
 public:
  std::shared_ptr<Program> find(const std::string& key) {
    std::lock_guard lock(mutex_);
    auto at = by_key_.find(key);
    if (at == by_key_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, at->second);
    return at->second->second;
  }
  void add(const std::string& key, std::shared_ptr<Program> program) {
    std::lock_guard lock(mutex_);
    if (by_key_.count(key)) return;
    recent_.emplace_front(key, std::move(program));
    by_key_[key] = recent_.begin();
    if (recent_.size() > kPrograms) {
      by_key_.erase(recent_.back().first);
      recent_.pop_back();
    }
  }

 private:
  using List = std::list<std::pair<std::string, std::shared_ptr<Program>>>;
  std::mutex mutex_;
  List recent_;
  std::map<std::string, List::iterator> by_key_;
};

Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

}  // namespace

std::vector<Array> run_op(const OpDecl& op, const std::vector<Array>& inputs, const Attrs& attrs) {
  return run_op_on("cpu", op, inputs, attrs);
}

std::vector<Array> run_op_on(const std::string& backend, const OpDecl& op, const std::vector<Array>& inputs,
                             const Attrs& attrs) {
  std::string key = backend + " " + op.name();
  for (const auto& [name, value] : attrs) key += " " + name + "=" + to_string(value);
  for (const Array& a : inputs) key += " " + to_string(TensorType{a.dtype(), to_shape(a.shape())});
  auto program = cache().find(key);
  if (!program) {
    auto module = std::make_shared<Module>();
    auto builder = Builder::make(module, op.name());
    std::vector<Tensor> args;
    for (const Array& a : inputs) args.push_back(builder->input("", {a.dtype(), to_shape(a.shape())}));
    for (const Tensor& t : builder->add(op, args, attrs, {})) builder->output("", t);
    const std::string name = builder->finish()->name;
    CompileOptions options;
    options.backend = backend;
    options.optimise = false;  // there is nothing to find in one op
    program = std::make_shared<Program>(module, name, options);
    cache().add(key, program);
  }
  return program->run(inputs);
}

}  // namespace fovea
