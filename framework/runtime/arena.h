// Memory in which plans run. One pool serves all plans: the next run takes over the pages of the last.
#pragma once

#include <cstdint>
#include <memory>

#include "framework/tensor/array.h"

namespace fovea {

/// A lease of at least `bytes` of 64-byte aligned memory, given back to the pool at the end of its life.
class Arena {
 public:
  explicit Arena(int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  char* data() const { return static_cast<char*>(block_->data()); }

 private:
  std::shared_ptr<Buffer> block_;
  bool fresh_ = false;  // nobody has used the block before
};

/// Returns all memory that no run is using to the system.
void trim_arenas();

}  // namespace fovea
