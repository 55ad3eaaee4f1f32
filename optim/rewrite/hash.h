// Hashes of what nodes are made of.
#pragma once

#include <cstdint>

#include "framework/tensor/attrs.h"

namespace fovea {

/// Mixes `value` into `seed`.
uint64_t hash_combine(uint64_t seed, uint64_t value);
/// Equal attributes have equal hashes.
uint64_t hash_of(const Attrs& attrs);

}  // namespace fovea
