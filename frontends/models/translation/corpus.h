// Parallel text for a translator: where it comes from, how it is split, and its batches.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "frontends/data/batching.h"
#include "frontends/data/pairs.h"
#include "frontends/data/tokenizer.h"
#include "frontends/nn/dataset.h"

namespace fovea::models {

/// Where pairs of sentences are read from: gettext catalogues of one language, or a file of two columns.
struct CorpusSource {
  std::string catalogues;  ///< a folder
  std::string lang = "fr";
  std::string pairs;  ///< a .tsv file, used instead of catalogues where it is set
};

/// All pairs, each source once, and their three parts (data::split_of).
struct Corpus {
  std::vector<data::TextPair> train, valid, test;
  std::string digest;  ///< of all pairs
  size_t size() const { return train.size() + valid.size() + test.size(); }
};

/// Reads and splits the pairs. Unreadable catalogues are named on standard error and left out. Errors as
/// data::read_pairs and data::read_tsv; InvalidArgument where no pair is left.
Corpus read_corpus(const CorpusSource& source);

/// A tokenizer of `vocab` pieces learnt from both sides of the pairs.
data::Tokenizer train_tokenizer(std::span<const data::TextPair> pairs, int64_t vocab);

/// Longest sentence in pieces, without bos and eos; what is longer is cut.
inline constexpr size_t kMaxPieces = 63;

/// The pieces of a sentence with eos behind; `cut` tells whether it was too long.
std::vector<int32_t> source_ids(const data::Tokenizer& tokenizer, std::string_view text, bool* cut = nullptr);
/// source_ids of the source, and bos, pieces, eos of the target.
std::vector<data::TokenPair> encode_pairs(const data::Tokenizer& tokenizer,
                                          std::span<const data::TextPair> pairs);

/// {source i32 [B, S], target without its last i32 [B, T], target without its first i32 [B, T]}, 0 where
/// padded.
nn::Batch translation_batch(std::span<const data::TokenPair> pairs, std::span<const int64_t> rows);
/// Bucketed batches of at most `batch_tokens` target tokens, padding included. The pairs must outlive it.
nn::Dataset translation_data(std::span<const data::TokenPair> pairs, int64_t batch_tokens);
/// Target tokens of a batch that are no padding.
int64_t target_tokens(const nn::Batch& batch);

}  // namespace fovea::models
