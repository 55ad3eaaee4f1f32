// A translator out of a file: what is in the file runs, no class of the network is needed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "frontends/data/batching.h"
#include "frontends/data/tokenizer.h"
#include "frontends/nn/decoding/graph_decoder.h"
#include "frontends/nn/generate.h"

namespace fovea::models {

/// How to decode. Begin with SavedTranslator::defaults().
struct TranslateOptions {
  nn::GenerateOptions generate;
  int64_t max_length = 0;     ///< most pieces, eos included; 0: twice the source's and 8
  int64_t batch_rows = 256;   ///< most hypotheses decoded at a time
  uint64_t first_stream = 0;  ///< of random numbers: text i draws from stream first_stream + i
};

/// One translation.
struct Translation {
  std::string text;
  nn::Hypothesis hypothesis;
  bool cut = false;  ///< the source was longer than kMaxPieces, and what is behind was left out
};

/// What each piece of a translation looked at in the source.
struct SourceAttention {
  std::vector<std::string> source, target;  ///< pieces, eos included
  int64_t layers = 0, heads = 0;
  std::vector<float> weights;  ///< [layers, heads, target, source]
};

/// A sum of -log p over tokens.
struct NllSum {
  double sum = 0;
  int64_t tokens = 0;
};

/// Loads what train() saved. May be used from several threads at once.
class SavedTranslator {
 public:
  /// `path`: a .fovea file, or a folder with a model.fovea. Corrupt for a damaged file; InvalidArgument for
  /// one that is no translator.
  static SavedTranslator load(const std::string& path);
  SavedTranslator(SavedTranslator&&) noexcept;
  ~SavedTranslator();

  /// n_best translations of each text, best first; sorted and batched by length inside. A text without any
  /// word gives empty translations. InvalidArgument for text that is not UTF-8 and for options out of range.
  std::vector<std::vector<Translation>> translate(std::span<const std::string> texts,
                                                  const TranslateOptions& options) const;
  /// -log p of the targets, without label smoothing.
  NllSum nll(std::span<const data::TokenPair> pairs, int64_t batch_tokens = 4096) const;
  SourceAttention attention(const std::string& text, std::span<const int32_t> target) const;

  const data::Tokenizer& tokenizer() const;
  /// The decoding defaults of the file.
  nn::GenerateOptions defaults() const;
  /// What the file says of itself: "fovea.translator" (sizes), "fovea.training" (data and recipe),
  /// "fovea.decoding".
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  explicit SavedTranslator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Names of the metadata entries.
inline constexpr const char* kNetworkKey = "fovea.translator";
inline constexpr const char* kTrainingKey = "fovea.training";
inline constexpr const char* kDecodingKey = "fovea.decoding";
inline constexpr const char* kTokenizerKey = "fovea.tokenizer";

}  // namespace fovea::models
