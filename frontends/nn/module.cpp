#include "frontends/nn/module.h"

#include <algorithm>

#include "framework/base/error.h"

namespace fovea::nn {

struct Parameter::State {
  Dims shape;
  DType dtype;
  Initialiser init;
  bool buffer = false, trainable = true;
  Array value;
  uint64_t seed = 0;
};

namespace {

thread_local Scope* active_scope = nullptr;

// SplitMix64 (Steele, Lea, Flood 2014): spreads (seed, position) over all 64 bits.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

Parameter::Parameter(Dims shape, Initialiser init, bool trainable, DType dtype)
    : state_(std::make_shared<State>()) {
  state_->shape = std::move(shape);
  state_->dtype = dtype;
  state_->init = std::move(init);
  state_->buffer = !trainable;
  state_->trainable = trainable;
}

const Dims& Parameter::shape() const { return state_->shape; }
DType Parameter::dtype() const { return state_->dtype; }
bool Parameter::trainable() const { return state_->trainable; }
bool Parameter::is_buffer() const { return state_->buffer; }
void Parameter::set_trainable(bool trainable) { state_->trainable = trainable && !state_->buffer; }

const Array& Parameter::value() const {
  if (!state_) invalid("the parameter is undefined");
  if (!state_->value.defined()) state_->value = state_->init(state_->dtype, state_->shape, state_->seed);
  return state_->value;
}

void Parameter::set_value(Array value) {
  if (value.dtype() != state_->dtype || value.shape() != state_->shape)
    invalid("a parameter of type " + std::string(to_string(state_->dtype)) + to_string(state_->shape) +
            " cannot take " + std::string(to_string(value.dtype())) + to_string(value.shape()));
  state_->value = std::move(value);
}

Tensor Parameter::tensor() const {
  if (!state_) invalid("the parameter is undefined: was the module default-constructed?");
  for (Scope* s = active_scope; s; s = s->outer_)
    for (auto at = s->values_.rbegin(); at != s->values_.rend(); ++at)
      if (at->first == state_.get()) return at->second;
  return value();
}

void Parameter::update(const Tensor& next) const {
  if (!active_scope) {
    state_->value = next.array();
    return;
  }
  active_scope->values_.emplace_back(state_.get(), next);
}

struct Module::Tree {
  struct Entry {
    std::string name;
    Parameter parameter;  // or
    std::shared_ptr<Tree> children;
  };
  std::vector<Entry> entries;
  std::string path;

  void rename(const std::string& prefix) {
    path = prefix;
    for (Entry& e : entries)
      if (e.children) e.children->rename(prefix.empty() ? e.name : prefix + "." + e.name);
  }
  void collect(const std::string& prefix, std::vector<NamedParameter>& out) const {
    for (const Entry& e : entries) {
      const std::string name = prefix.empty() ? e.name : prefix + "." + e.name;
      if (e.children) {
        e.children->collect(name, out);
      } else if (std::none_of(out.begin(), out.end(), [&](const NamedParameter& p) {
                   return p.parameter.id() == e.parameter.id();
                 })) {
        out.push_back({name, e.parameter});  // a tied weight counts once, under its first name
      }
    }
  }
};

Module::Module() : tree_(std::make_shared<Tree>()) {}

void Module::add(const std::string& name, const Module& child) {
  if (name.empty() || name.find('.') != std::string::npos)
    invalid("'" + name + "' cannot name a child module: it must be non-empty, without dots");
  for (const Tree::Entry& e : tree_->entries)
    if (e.name == name) invalid("the module has a child '" + name + "' already");
  tree_->entries.push_back({name, {}, child.tree_});
  tree_->rename(tree_->path);
}

void Module::add(const std::string& name, const Parameter& parameter) {
  if (!parameter.defined()) return;  // an optional one that is not there (Linear without bias)
  if (name.empty() || name.find('.') != std::string::npos)
    invalid("'" + name + "' cannot name a parameter: it must be non-empty, without dots");
  for (const Tree::Entry& e : tree_->entries)
    if (e.name == name) invalid("the module has a parameter '" + name + "' already");
  tree_->entries.push_back({name, parameter, nullptr});
}

std::vector<NamedParameter> Module::parameters() const {
  std::vector<NamedParameter> out;
  tree_->collect("", out);
  return out;
}

Parameter Module::parameter(const std::string& path) const {
  std::string known;
  for (const NamedParameter& p : parameters()) {
    if (p.name == path) return p.parameter;
    if (known.size() < 300) known += (known.empty() ? "" : ", ") + p.name;
  }
  invalid("there is no parameter '" + path + "'; there are: " + known);
}

int64_t Module::parameter_count() const {
  int64_t n = 0;
  for (const NamedParameter& p : parameters())
    if (!p.parameter.is_buffer()) n += product(p.parameter.shape());
  return n;
}

void Module::initialise(uint64_t seed, bool only_missing) {
  uint64_t position = 0;
  for (const NamedParameter& p : parameters()) {
    ++position;
    if (only_missing && p.parameter.id()->value.defined()) continue;
    p.parameter.id()->seed = mix(seed ^ mix(position));
    p.parameter.id()->value = Array();
    p.parameter.value();
  }
}

void Module::set_trainable(bool trainable) {
  for (NamedParameter& p : parameters()) p.parameter.set_trainable(trainable);
}

const std::string& Module::name() const { return tree_->path; }

Scope::Scope(bool training, Tensor key) : training_(training), key_(std::move(key)), outer_(active_scope) {
  active_scope = this;
}
Scope::~Scope() { active_scope = outer_; }

void Scope::bind(const Parameter& parameter, const Tensor& value) {
  values_.emplace_back(parameter.id(), value);
}

Tensor Scope::current(const Parameter& parameter) const {
  for (auto at = values_.rbegin(); at != values_.rend(); ++at)
    if (at->first == parameter.id()) return at->second;
  return parameter.value();
}

Scope* Scope::active() { return active_scope; }

bool training() { return active_scope && active_scope->training_; }

Tensor random_key() {
  if (!active_scope || !active_scope->key_.defined())
    invalid("something random runs without a key: give one to nn::Scope");
  return active_scope->key_;
}

}  // namespace fovea::nn
