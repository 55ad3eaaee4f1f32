#include "frontends/models/parts.h"

#include "framework/base/error.h"
#include "graph/build/index.h"
#include "ops/core/full/full.h"

namespace fovea::models {

Tensor key_mask(const Tensor& keep) {
  if (keep.rank() != 2) invalid("a keep mask is bool [batch, length], got " + to_string(keep.type()));
  return keep[{all, newaxis, newaxis, all}];
}

std::vector<nn::KeyValue> empty_caches(int64_t layers, const Dim& batch, int64_t heads, const Dim& capacity,
                                       int64_t dim) {
  std::vector<nn::KeyValue> caches;
  for (int64_t i = 0; i < layers; ++i) {
    const Tensor zero = zeros({batch, heads, capacity, dim / heads});
    caches.push_back({zero, zero});
  }
  return caches;
}

void check_layers(const char* what, size_t got, size_t layers) {
  if (got != layers)
    invalid(std::string(what) + ": there are " + std::to_string(got) + ", one is needed for each of " +
            std::to_string(layers) + " layers");
}

}  // namespace fovea::models
