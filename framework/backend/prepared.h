// Ops made ready for fixed operand types, shared by all plans that need the same one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "framework/backend/backend.h"
#include "framework/backend/kernel.h"

namespace fovea {

/// A prepared op, and what the backend said of it. Released with its last owner.
struct PreparedOp {
  const Backend* backend = nullptr;
  fovea_prepared* handle = nullptr;
  int64_t workspace = 0;  ///< bytes
  std::string kernel;
  KernelRequest request;      ///< what it was made for: explain and profiles read shapes and attributes here
  uint64_t in_place[8] = {};  ///< bit i of entry o: output o may take over the memory of input i

  PreparedOp() = default;
  PreparedOp(const PreparedOp&) = delete;
  PreparedOp& operator=(const PreparedOp&) = delete;
  ~PreparedOp();
};

/// "f32[8, 4], f32[4] -> f32[8, 4]"
std::string operands_text(const KernelRequest& request);

/// Outcome of prepare_op.
struct PreparedResult {
  std::shared_ptr<const PreparedOp> op;  ///< nullptr where the backend cannot run the request as it is
  uint64_t contiguous = 0;               ///< then: it could if these inputs were row-major
  std::string reason;                    ///< or, where none are named, why not
};

/// The op for this request: the one that a living plan holds already, else a new one.
PreparedResult prepare_op(const Backend& backend, const KernelRequest& request);

}  // namespace fovea
