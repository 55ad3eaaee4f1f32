#include "frontends/data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "framework/base/error.h"
#include "frontends/data/sentencepiece_check.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

namespace sp = sentencepiece;

// Errors are thrown, not printed: the library's own messages are switched off, warnings included.
constexpr const char* kQuiet = "3";

class SpanIterator final : public sp::SentenceIterator {
 public:
  explicit SpanIterator(std::span<const std::string> sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sp::util::Status status() const override { return {}; }

 private:
  std::span<const std::string> sentences_;
  size_t at_ = 0;
};

// The trainer leaves out longer sentences, and ends the program when it finds nothing but white space in the
// others.
constexpr size_t kMaxSentenceBytes = 4192;

bool has_visible_text(std::string_view sentence) {
  if (sentence.size() > kMaxSentenceBytes) return false;
  for (size_t at = 0; at < sentence.size();) {
    const char32_t c = next_code_point(sentence, at);
    if ((c > ' ' && c < 0x7F) || is_word(c)) return true;
  }
  return false;
}

void check_options(std::span<const std::string> sentences, const TokenizerOptions& options) {
  if (sentences.empty()) invalid("a tokenizer needs at least one sentence to train on, there are 0");
  if (std::none_of(sentences.begin(), sentences.end(), has_visible_text))
    invalid("none of the " + std::to_string(sentences.size()) +
            " sentences to train a tokenizer on has a letter, a digit or an ASCII " + "sign within " +
            std::to_string(kMaxSentenceBytes) + " bytes");
  constexpr int64_t kMaxVocab = int64_t{1} << 24;
  if (options.vocab_size < 5 || options.vocab_size > kMaxVocab)
    invalid("vocab_size is " + std::to_string(options.vocab_size) + ", it must be in [5, " +
            std::to_string(kMaxVocab) + "]");
  if (!(options.character_coverage >= 0.98 && options.character_coverage <= 1))
    invalid("character_coverage is " + std::to_string(options.character_coverage) +
            ", it must be in [0.98, 1]");
}

// The library's own words behind its "file(line) [condition]".
std::string reason(const sp::util::Status& status) {
  const std::string text = status.error_message();
  const size_t end = text.rfind("] ");
  return end == std::string::npos || end + 2 >= text.size() ? text : text.substr(end + 2);
}

}  // namespace

struct Tokenizer::Model {
  sp::SentencePieceProcessor processor;
  std::string bytes;
};

Tokenizer::Tokenizer(std::unique_ptr<Model> model) : model_(std::move(model)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::train(std::span<const std::string> sentences, const TokenizerOptions& options) {
  check_options(sentences, options);
  const std::unordered_map<std::string, std::string> flags = {
      {"vocab_size", std::to_string(options.vocab_size)},
      {"character_coverage", std::to_string(options.character_coverage)},
      {"model_type", options.kind == TokenizerKind::Unigram ? "unigram" : "bpe"},
      {"pad_id", std::to_string(kPad)},
      {"unk_id", std::to_string(kUnk)},
      {"bos_id", std::to_string(kBos)},
      {"eos_id", std::to_string(kEos)},
      {"minloglevel", kQuiet}};
  // The trainer keeps settings in globals.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  SpanIterator iterator(sentences);
  std::string bytes;
  const auto status = sp::SentencePieceTrainer::Train(flags, &iterator, &bytes);
  if (!status.ok())
    invalid("training a tokenizer of " + std::to_string(options.vocab_size) + " pieces on " +
            std::to_string(sentences.size()) + " sentences failed: " + reason(status));
  return from_bytes(bytes);
}

Tokenizer Tokenizer::from_bytes(std::string_view bytes) {
  const std::string size = std::to_string(bytes.size());
  if (const std::string wrong = check_sentencepiece_model(bytes); !wrong.empty())
    fail(ErrorKind::Corrupt, "the " + size + " bytes of a tokenizer are not a SentencePiece model: " + wrong);
  auto model = std::make_unique<Model>();
  const auto status = model->processor.LoadFromSerializedProto({bytes.data(), bytes.size()});
  if (!status.ok())
    fail(ErrorKind::Corrupt,
         "the " + size + " bytes of a tokenizer are not a SentencePiece model: " + reason(status));
  const sp::SentencePieceProcessor& p = model->processor;
  if (p.pad_id() != kPad || p.unk_id() != kUnk || p.bos_id() != kBos || p.eos_id() != kEos)
    fail(ErrorKind::Corrupt, "a tokenizer has the special ids pad " + std::to_string(p.pad_id()) + ", unk " +
                                 std::to_string(p.unk_id()) + ", bos " + std::to_string(p.bos_id()) +
                                 ", eos " + std::to_string(p.eos_id()) + "; expected 0, 1, 2, 3");
  model->bytes = bytes;
  return Tokenizer(std::move(model));
}

const std::string& Tokenizer::bytes() const { return model_->bytes; }

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int> ids;
  const auto status = model_->processor.Encode({text.data(), text.size()}, &ids);
  if (!status.ok()) fail(ErrorKind::InvalidArgument, "cannot encode a text: " + reason(status));
  return {ids.begin(), ids.end()};
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::vector<int> known;
  known.reserve(ids.size());
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size())
      invalid("token id " + std::to_string(id) + " is out of range, the vocabulary has " +
              std::to_string(vocab_size()));
    known.push_back(id);
  }
  std::string text;
  const auto status = model_->processor.Decode(known, &text);
  if (!status.ok()) fail(ErrorKind::InvalidArgument, "cannot decode tokens: " + reason(status));
  return text;
}

int64_t Tokenizer::vocab_size() const { return model_->processor.GetPieceSize(); }

std::string Tokenizer::piece(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    invalid("token id " + std::to_string(id) + " is out of range, the vocabulary has " +
            std::to_string(vocab_size()));
  return model_->processor.IdToPiece(id);
}

int32_t Tokenizer::id_of(std::string_view piece) const {
  return model_->processor.PieceToId({piece.data(), piece.size()});
}

}  // namespace fovea::data
