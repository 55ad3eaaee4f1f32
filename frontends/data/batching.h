// Which items form a batch, and how token sequences of different lengths become one array.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "frontends/data/loader.h"

namespace fovea::data {

/// A source and a target sentence as token ids.
struct TokenPair {
  std::vector<int32_t> source, target;
};

/// Padded sequences, row-major: src is [rows, src_len], tgt is [rows, tgt_len].
struct TokenBatch {
  std::vector<int32_t> src, tgt;
  int64_t rows = 0, src_len = 0, tgt_len = 0;
};

/// Groups of indices into a data set; each group is a batch.
using Groups = std::vector<std::vector<int64_t>>;

/// Batches of pairs of similar length. Pairs are sorted by (target length + up to 2 at random, source
/// length); a batch is closed when one more pair would make rows * longest target exceed `batch_tokens` (a
/// single longer pair stands alone). The order of the batches is random. Equal seeds and epochs give equal
/// batches. InvalidArgument when there are no pairs or batch_tokens < 1.
Groups bucket_batches(std::span<const TokenPair> pairs, int64_t batch_tokens, uint64_t seed, int64_t epoch);

/// How index_batches cuts a data set.
struct IndexBatchOptions {
  int64_t batch_size = 32;
  bool shuffle = true;
  bool drop_last = false;  ///< leave out a last batch that is not full
};

/// Batches of the indices 0 .. count-1, all of batch_size but for the last. InvalidArgument when count is
/// negative or batch_size < 1.
Groups index_batches(int64_t count, const IndexBatchOptions& options, uint64_t seed, int64_t epoch);

/// The pairs at `rows`, each side padded behind with `pad` to its longest. InvalidArgument for an index out
/// of range.
TokenBatch pad_batch(std::span<const TokenPair> pairs, std::span<const int64_t> rows, int32_t pad = 0);

/// Bucketed, padded batches of pairs for a Loader. The pairs must outlive it.
std::unique_ptr<BatchSource<TokenBatch>> token_source(std::span<const TokenPair> pairs, int64_t batch_tokens,
                                                      int32_t pad = 0);

/// Batches of indices for a Loader; the caller gathers the images or texts.
std::unique_ptr<BatchSource<std::vector<int64_t>>> index_source(int64_t count,
                                                                const IndexBatchOptions& options);

}  // namespace fovea::data
