// What several models share.
#pragma once

#include "frontends/nn/attention.h"

namespace fovea::models {

/// keep [B, L] as a mask over keys: [B, 1, 1, L].
Tensor key_mask(const Tensor& keep);

/// Key/value caches of zeros, [batch, heads, capacity, dim / heads], one pair a layer.
std::vector<nn::KeyValue> empty_caches(int64_t layers, const Dim& batch, int64_t heads, const Dim& capacity,
                                       int64_t dim);

/// As many caches as layers, or an error with both numbers.
void check_layers(const char* what, size_t got, size_t layers);

}  // namespace fovea::models
