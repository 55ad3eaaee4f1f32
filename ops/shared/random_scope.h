// Which stream a random op draws from, and the key it draws with.
#pragma once

#include <string_view>

#include "framework/backend/kernel.h"
#include "graph/build/tensor.h"
#include "graph/ir/op.h"
#include "ops/shared/simd/random.h"

namespace fovea {

/// A stream number that no random op of the trace that `key` belongs to (or of the open trace) has yet. Each
/// trace of a fresh module counts from 0, so that the same code gives the same numbers; outside traces it
/// counts on in this thread.
int64_t next_ordinal(const Tensor& key);

/// Infer of random ops: key i64 [2], attributes shape and ordinal.
void infer_random(InferContext& c, DType dtype);
/// Declares those attributes.
OpDecl& declare_random(OpDecl& op);

/// The stream of one launch: key (i64 [2]) holds the user's key and the step.
simd::RandomStream random_stream(const void* key, int64_t ordinal);

}  // namespace fovea
