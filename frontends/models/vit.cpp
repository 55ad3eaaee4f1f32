#include "frontends/models/vit.h"

#include "framework/base/error.h"
#include "frontends/nn/check.h"
#include "frontends/nn/init.h"
#include "ops/core/add/add.h"
#include "ops/core/broadcast_to/broadcast_to.h"
#include "ops/core/concat/concat.h"
#include "ops/core/permute/permute.h"
#include "ops/core/reshape/reshape.h"
#include "ops/core/slice/slice.h"

namespace fovea::models {
namespace {

int64_t patches_of(const VitConfig& c) {
  nn::at_least(1, c.patch, "Vit: patch");
  if (nn::at_least(1, c.side, "Vit: side") % c.patch != 0)
    invalid("Vit: side " + std::to_string(c.side) + " is not a multiple of the patch " +
            std::to_string(c.patch));
  return (c.side / c.patch) * (c.side / c.patch);
}

}  // namespace

Vit::Vit(const VitConfig& c)
    : patch(c.channels, c.dim, c.patch, {.stride = c.patch}),
      cls({1, 1, c.dim}, nn::init::zeros()),
      pos({1, patches_of(c) + 1, c.dim}, nn::init::normal(0.02)),
      norm(c.dim),
      head(c.dim, c.classes),
      config_(c) {
  for (int64_t i = 0; i < c.layers; ++i)
    blocks.push_back(nn::TransformerEncoderLayer({c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", true}));
  add("patch", patch);
  add("cls", cls);
  add("pos", pos);
  add("blocks", blocks);
  add("norm", norm);
  add("head", head);
}

Tensor Vit::operator()(const Arg& images) const {
  const nn::ModuleScope scope(*this, images.source);
  const Tensor patches = transpose(flatten(patch(images), 2), 1, 2);  // [B, patches, dim]
  const Tensor first = broadcast_to(cls, {patches.dim(0), 1, config_.dim});
  Tensor x = concat({first, patches}, 1) + pos;
  for (const auto& block : blocks) x = block(x);
  return head(norm(select_index(x, 1, 0)));
}

}  // namespace fovea::models
