// Between the C structs of plugin.h and the C++ types of kernel.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/backend/kernel.h"
#include "framework/backend/plugin.h"

namespace fovea {

/// A KernelRequest as a fovea_op, with the storage behind its pointers. `request` must outlive it.
class AbiOp {
 public:
  explicit AbiOp(const KernelRequest& request);
  const fovea_op* get() const { return &op_; }

 private:
  fovea_op op_{};
  std::vector<fovea_attr> attrs_;
  std::vector<fovea_tensor> tensors_;
  std::vector<std::unique_ptr<int64_t>> ints_;
};

/// The request that a fovea_op states; InvalidArgument where it breaks a rule of plugin.h.
KernelRequest from_abi(const fovea_op& op);

/// The DLPack form of an element type, and back.
fovea_dtype to_abi(DType t);
DType from_abi(fovea_dtype t);

/// Throws the Error that a failed status stands for, with `context` behind the message.
void check(fovea_status status, const std::string& context = {});

}  // namespace fovea
