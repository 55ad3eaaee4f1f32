#include "optim/attention/describe.h"

#include "optim/attention/emit.h"

namespace fovea::match {

FusionRecord record_of(const View& view, const Verdict& verdict) {
  FusionRecord record;
  record.function = view.graph.name;
  record.fused = verdict.region != nullptr;
  const NodeId id = record.fused || verdict.why.node < 0 ? verdict.softmax : verdict.why.node;
  if (id >= 0) {
    const Node& n = view.graph.nodes[static_cast<size_t>(id)];
    record.node = n.op->name() + "#" + std::to_string(id);
    record.scope = view.module.scopes[static_cast<size_t>(n.scope)];
    record.source = n.source;
  }
  if (record.fused) {
    const Programs p = programs_of(*verdict.region);
    record.score = p.score.str();
    return record;
  }
  record.reason = verdict.why.reason;
  record.detail = verdict.why.detail;
  record.sentence = verdict.why.sentence;
  record.nearest = verdict.why.nearest;
  return record;
}

}  // namespace fovea::match
