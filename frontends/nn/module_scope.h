// What a layer opens when it is called, so that its nodes say whose they are.
#pragma once

#include "frontends/nn/module.h"

namespace fovea::nn {

/// While it lives, recorded ops carry the module's path ("encoder.0.attn.q") and the line of the user's call.
/// Nested layers of one tree add only the rest of their path.
///   Tensor operator()(const Arg& x) const { const ModuleScope scope(*this, x.source); ... }
class ModuleScope {
 public:
  ModuleScope(const Module& module, Source source);
  ~ModuleScope();
  ModuleScope(const ModuleScope&) = delete;
  ModuleScope& operator=(const ModuleScope&) = delete;

 private:
  SourceScope source_;
  NameScope name_;
  const std::string* outer_;
};

/// A list of equal layers, named "0", "1", ...
template <class M>
class ModuleList : public Module {
 public:
  ModuleList() = default;
  void push_back(M item) {
    add(std::to_string(items_.size()), item);
    items_.push_back(std::move(item));
  }
  size_t size() const { return items_.size(); }
  const M& operator[](size_t i) const { return items_[i]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<M> items_;
};

}  // namespace fovea::nn
