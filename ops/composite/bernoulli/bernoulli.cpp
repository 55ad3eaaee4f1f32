#include "ops/composite/bernoulli/bernoulli.h"

#include "ops/composite/uniform/uniform.h"
#include "ops/core/less/less.h"
#include "ops/shared/random_scope.h"

namespace fovea {

FOVEA_OP(bernoulli) {
  declare_random(op)
      .attr("p", 0.5)
      .doc("true with probability p: where a uniform value lies below it.")
      .infer([](InferContext& c) {
        const double p = c.attrs.number("p");
        if (!(p >= 0 && p <= 1)) c.fail("p = " + std::to_string(p) + " is not in [0, 1]");
        infer_random(c, DType::boolean);
      })
      .decompose([](const OpArgs& a) {
        return Tensors{less(uniform(a.in[0], a.attrs.shape("shape"), 0, 1, a.attrs.integer("ordinal")),
                            a.attrs.number("p"))};
      })
      .sample({ints({2}, 0, 100)}, {{"shape", Shape{2, 5}}, {"p", 0.25}})
      .sample_error({ints({2}, 0, 100)}, {{"shape", Shape{2}}, {"p", 1.5}}, "is not in [0, 1]");
}

Tensor bernoulli(const Arg& key, Shape shape, double p, int64_t ordinal) {
  const Tensor k = to_tensor(key, DType::i64);
  if (ordinal < 0) ordinal = next_ordinal(k);
  return apply1("bernoulli", {k}, {{"shape", std::move(shape)}, {"ordinal", ordinal}, {"p", p}}, key.source);
}

}  // namespace fovea
