// Branches.
#include "frontends/cpp/control.h"
#include "frontends/import/onnx/convert.h"
#include "generated/ops.h"

namespace fovea::onnx {

// A condition that is known takes its branch without a node; see Importer.
FOVEA_ONNX(If) {
  const Tensor condition = c.in(0);
  const auto branch = [&c](const char* name) {
    return [&c, name](const std::vector<Tensor>&) { return c.subgraph(name); };
  };
  return cond(condition.rank() == 0 ? condition : reshape(condition, {}), branch("then_branch"),
              branch("else_branch"), {});
}

}  // namespace fovea::onnx
