#include "ops/shared/random_scope.h"

#include "graph/build/builder.h"

namespace fovea {
namespace {

// Above every number used by the finished functions of this module and by the graph that is being built.
int64_t first_free(const Module& module, const Graph& graph) {
  int64_t next = 0;
  const auto look = [&](const Graph& g) {
    for (const Node& n : g.nodes)
      if (n.op->is_random() && n.attrs.has("ordinal")) next = std::max(next, n.attrs.integer("ordinal") + 1);
  };
  for (const auto& [name, g] : module.functions) look(*g);
  look(graph);
  return next;
}

}  // namespace

int64_t next_ordinal(const Tensor& key) {
  thread_local int64_t eager = 0;
  const Builder* builder = Builder::current();
  if (!builder && key.traced()) builder = key.builder().get();
  if (!builder) return eager++;
  // Graphs around this one that are still being built are not in the module yet: this thread remembers the
  // last number it gave out there.
  thread_local std::weak_ptr<Module> last_module;
  thread_local int64_t last = 0;
  int64_t next = first_free(*builder->module(), builder->graph());
  if (last_module.lock() == builder->module()) next = std::max(next, last + 1);
  last_module = builder->module();
  return last = next;
}

OpDecl& declare_random(OpDecl& op) {
  return op.input("key", Types::integer)
      .required_attr("shape", Shape{})
      .attr("ordinal", 0, "the stream: different numbers, independent values")
      .random()
      .not_differentiable();
}

void infer_random(InferContext& c, DType dtype) {
  if (c.dtype(0) != DType::i64 || c.rank(0) != 1) c.fail("key must be i64[2], got " + to_string(c.in[0]));
  c.same(c.shape(0)[0], 2, "key must have 2 elements (key, step), got {a}");
  if (c.attrs.integer("ordinal") < 0)
    c.fail("ordinal " + std::to_string(c.attrs.integer("ordinal")) + " is negative");
  c.output(dtype, c.attrs.shape("shape"));
}

simd::RandomStream random_stream(const void* key, int64_t ordinal) {
  const auto* words = static_cast<const int64_t*>(key);
  return {static_cast<uint64_t>(words[0]), static_cast<uint64_t>(words[1]), static_cast<uint64_t>(ordinal)};
}

}  // namespace fovea
