#include "frontends/data/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "framework/base/error.h"
#include "frontends/data/sentencepiece_check_internal.h"
#include "frontends/data/sentencepiece_loader_internal.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

// Errors are thrown, not printed: the library's own messages are switched off, warnings included.
constexpr const char* kQuiet = "3";

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

FoveaText text_of(std::string_view text) { return {text.data(), text.size()}; }

void append_text(void* out, const void* data, size_t bytes) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), bytes);
}

std::vector<FoveaText> texts_of(std::span<const std::string> texts) {
  std::vector<FoveaText> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(text_of(text));
  return out;
}

void check_id(int32_t id, int64_t vocab_size) {
  if (id < 0 || id >= vocab_size)
    invalid("token id " + std::to_string(id) + " is out of range, the vocabulary has " +
            std::to_string(vocab_size));
}

// Collects ids, or the message when the call fails.
struct IdsOrMessage {
  std::vector<int32_t> ids;
  std::string message;
};

void append_ids(void* out, const void* data, size_t bytes) {
  auto& result = *static_cast<IdsOrMessage*>(out);
  if (bytes % sizeof(int32_t) == 0) {
    result.ids.resize(bytes / sizeof(int32_t));
    if (bytes > 0) std::memcpy(result.ids.data(), data, bytes);
  }
  append_text(&result.message, data, std::min<size_t>(bytes, 1000));
}

// Throws unless `status` is good.
void check(int status, ErrorKind kind, const std::string& what, const std::string& message) {
  if (status == kFoveaSpNoMemory) fail(ErrorKind::ResourceExhausted, what + ": out of memory");
  if (status != kFoveaSpOk) fail(kind, what + ": " + message);
}

}  // namespace

struct Tokenizer::Model {
  ~Model() {
    if (handle != nullptr) library.free(handle);
  }
  const FoveaSentencepiece& library = sentencepiece_table();
  void* handle = nullptr;
  std::string bytes;
};

Tokenizer::Tokenizer(std::unique_ptr<Model> model) : model_(std::move(model)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::train(std::span<const std::string> sentences, const TokenizerOptions& options) {
  check_options(sentences, options);
  const std::vector<std::string> flags = {"vocab_size",
                                          std::to_string(options.vocab_size),
                                          "character_coverage",
                                          std::to_string(options.character_coverage),
                                          "model_type",
                                          options.kind == TokenizerKind::Unigram ? "unigram" : "bpe",
                                          "pad_id",
                                          std::to_string(kPad),
                                          "unk_id",
                                          std::to_string(kUnk),
                                          "bos_id",
                                          std::to_string(kBos),
                                          "eos_id",
                                          std::to_string(kEos),
                                          "minloglevel",
                                          kQuiet};
  // The trainer keeps settings in globals.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  std::string bytes;
  const int status =
      sentencepiece_table().train(texts_of(sentences).data(), sentences.size(), texts_of(flags).data(),
                                  flags.size() / 2, append_text, &bytes);
  check(status, ErrorKind::InvalidArgument,
        "training a tokenizer of " + std::to_string(options.vocab_size) + " pieces on " +
            std::to_string(sentences.size()) + " sentences failed",
        bytes);
  return from_bytes(bytes);
}

Tokenizer Tokenizer::from_bytes(std::string_view bytes) {
  const std::string what =
      "the " + std::to_string(bytes.size()) + " bytes of a tokenizer are not a SentencePiece model";
  if (const std::string wrong = check_sentencepiece_model(bytes); !wrong.empty())
    fail(ErrorKind::Corrupt, what + ": " + wrong);
  auto model = std::make_unique<Model>();
  std::string message;
  const int status = model->library.load(text_of(bytes), &model->handle, append_text, &message);
  check(status, ErrorKind::Corrupt, what, message);
  int32_t ids[4];
  model->library.special_ids(model->handle, ids);
  if (ids[0] != kPad || ids[1] != kUnk || ids[2] != kBos || ids[3] != kEos)
    fail(ErrorKind::Corrupt, "a tokenizer has the special ids pad " + std::to_string(ids[0]) + ", unk " +
                                 std::to_string(ids[1]) + ", bos " + std::to_string(ids[2]) + ", eos " +
                                 std::to_string(ids[3]) + "; expected 0, 1, 2, 3");
  model->bytes = bytes;
  return Tokenizer(std::move(model));
}

const std::string& Tokenizer::bytes() const { return model_->bytes; }

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  IdsOrMessage result;
  const int status = model_->library.encode(model_->handle, text_of(text), append_ids, &result);
  check(status, ErrorKind::InvalidArgument, "cannot encode a text", result.message);
  return std::move(result.ids);
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  for (const int32_t id : ids) check_id(id, vocab_size());
  std::string text;
  const int status = model_->library.decode(model_->handle, ids.data(), ids.size(), append_text, &text);
  check(status, ErrorKind::InvalidArgument, "cannot decode tokens", text);
  return text;
}

int64_t Tokenizer::vocab_size() const { return model_->library.vocab_size(model_->handle); }

std::string Tokenizer::piece(int32_t id) const {
  check_id(id, vocab_size());
  std::string text;
  check(model_->library.piece(model_->handle, id, append_text, &text), ErrorKind::InvalidArgument,
        "cannot look up a piece", text);
  return text;
}

int32_t Tokenizer::id_of(std::string_view piece) const {
  int32_t id = kUnk;
  check(model_->library.id_of(model_->handle, text_of(piece), &id), ErrorKind::InvalidArgument,
        "cannot look up a piece", "");
  return id;
}

}  // namespace fovea::data
