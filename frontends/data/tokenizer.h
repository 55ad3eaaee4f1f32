// Text to token ids and back: a SentencePiece model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// How pieces are found: the unigram language model (Kudo 2018) or byte-pair encoding (Sennrich et al. 2016).
enum class TokenizerKind { Unigram, Bpe };

/// How Tokenizer::train makes its vocabulary.
struct TokenizerOptions {
  int64_t vocab_size = 4000;
  double character_coverage = 0.9995;  ///< share of the text's characters that must have a piece; [0.98, 1]
  TokenizerKind kind = TokenizerKind::Unigram;
};

/// A tokeniser with the special ids pad 0, unk 1, bos 2, eos 3. Encoding and decoding may be called from
/// several threads.
class Tokenizer {
 public:
  static constexpr int32_t kPad = 0, kUnk = 1, kBos = 2, kEos = 3;

  /// Learns a model from sentences; equal sentences and options give equal models. Silent.
  /// InvalidArgument for options out of range, and when the text cannot fill or is not covered by vocab_size
  /// pieces.
  static Tokenizer train(std::span<const std::string> sentences, const TokenizerOptions& options = {});

  /// A model out of the bytes that bytes() gave; Corrupt when they are none, or of other special ids.
  static Tokenizer from_bytes(std::string_view bytes);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The serialized model, which holds everything that encoding needs.
  const std::string& bytes() const;

  /// The ids of a text, without bos and eos. Characters that the model never saw become unk.
  std::vector<int32_t> encode(std::string_view text) const;

  /// The text of ids; pad, bos and eos give nothing. InvalidArgument for an id out of range.
  std::string decode(std::span<const int32_t> ids) const;

  int64_t vocab_size() const;

  /// The piece of an id (a leading space is written as U+2581); InvalidArgument when out of range.
  std::string piece(int32_t id) const;

  /// The id of a piece, kUnk when there is no such piece.
  int32_t id_of(std::string_view piece) const;

 private:
  struct Model;
  explicit Tokenizer(std::unique_ptr<Model> model);
  std::unique_ptr<Model> model_;
};

}  // namespace fovea::data
