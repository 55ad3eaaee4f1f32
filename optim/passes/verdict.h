// What passes that fuse decide of a candidate, and the record they leave of it.
#pragma once

#include <string>

#include "optim/rewrite/pass.h"

namespace fovea {

/// Why a candidate stays as it is; reason none: it does not.
struct Verdict {
  Reason reason = Reason::none;
  std::string sentence, nearest;
};

/// Leaves the record of a candidate where somebody listens. `node` decided and had the number `id` when the
/// pass began; `saved` is the number of bytes at stake.
void record(PassContext& context, const char* region, const Graph& graph, const Node& node, NodeId id,
            const Verdict& verdict, const Dim& saved);

}  // namespace fovea
