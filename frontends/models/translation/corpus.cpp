#include "frontends/models/translation/corpus.h"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "framework/base/error.h"
#include "frontends/data/catalogue.h"

namespace fovea::models {
namespace {

constexpr int64_t kPad = data::Tokenizer::kPad;

std::vector<data::TextPair> unique_sources(std::vector<data::TextPair> pairs) {
  std::unordered_set<std::string> seen;
  std::erase_if(pairs, [&](const data::TextPair& p) {
    return p.source.empty() || p.target.empty() || !seen.insert(p.source).second;
  });
  return pairs;
}

// Columns `first` to `last` of a [rows, width] matrix of ids.
Array columns(const std::vector<int32_t>& ids, int64_t rows, int64_t width, int64_t first, int64_t last) {
  Array out(DType::i32, {rows, last - first});
  auto* to = out.data<int32_t>();
  for (int64_t r = 0; r < rows; ++r)
    to = std::copy(ids.begin() + r * width + first, ids.begin() + r * width + last, to);
  return out;
}

class Source : public nn::BatchSource {
 public:
  Source(std::span<const data::TokenPair> pairs, int64_t batch_tokens)
      : pairs_(pairs), batch_tokens_(batch_tokens) {}
  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    groups_ = data::bucket_batches(pairs_, batch_tokens_, seed, epoch);
    return static_cast<int64_t>(groups_.size());
  }
  nn::Batch make(int64_t index) override {
    return translation_batch(pairs_, groups_.at(static_cast<size_t>(index)));
  }

 private:
  std::span<const data::TokenPair> pairs_;
  int64_t batch_tokens_;
  data::Groups groups_;
};

}  // namespace

Corpus read_corpus(const CorpusSource& source) {
  std::vector<data::TextPair> pairs;
  std::string from = source.pairs;
  if (!source.pairs.empty()) {
    pairs = unique_sources(data::read_tsv(source.pairs));
  } else {
    if (source.catalogues.empty())
      invalid("there is no data: name a folder of catalogues or a file of pairs");
    std::vector<std::string> skipped;
    pairs = data::read_pairs(source.catalogues, source.lang, &skipped);
    for (const std::string& s : skipped) std::fprintf(stderr, "left out: %s\n", s.c_str());
    from = source.catalogues + " (" + source.lang + ")";
  }
  if (pairs.empty()) invalid("\"" + from + "\" holds no pair of sentences to learn from");
  Corpus out;
  out.digest = data::pairs_digest(pairs);
  out.train = data::select_split(pairs, data::Split::Train);
  out.valid = data::select_split(pairs, data::Split::Validation);
  out.test = data::select_split(pairs, data::Split::Test);
  return out;
}

data::Tokenizer train_tokenizer(std::span<const data::TextPair> pairs, int64_t vocab) {
  std::vector<std::string> sentences;
  sentences.reserve(2 * pairs.size());
  for (const data::TextPair& p : pairs) {
    sentences.push_back(p.source);
    sentences.push_back(p.target);
  }
  return data::Tokenizer::train(sentences, {.vocab_size = vocab});
}

std::vector<int32_t> source_ids(const data::Tokenizer& tokenizer, std::string_view text, bool* cut) {
  std::vector<int32_t> ids = tokenizer.encode(text);
  if (cut) *cut = ids.size() > kMaxPieces;
  ids.resize(std::min(ids.size(), kMaxPieces));
  ids.push_back(data::Tokenizer::kEos);
  return ids;
}

std::vector<data::TokenPair> encode_pairs(const data::Tokenizer& tokenizer,
                                          std::span<const data::TextPair> pairs) {
  std::vector<data::TokenPair> out;
  out.reserve(pairs.size());
  for (const data::TextPair& p : pairs) {
    std::vector<int32_t> target = source_ids(tokenizer, p.target);
    target.insert(target.begin(), data::Tokenizer::kBos);
    out.push_back({source_ids(tokenizer, p.source), std::move(target)});
  }
  return out;
}

nn::Batch translation_batch(std::span<const data::TokenPair> pairs, std::span<const int64_t> rows) {
  const data::TokenBatch b = data::pad_batch(pairs, rows, static_cast<int32_t>(kPad));
  return {columns(b.src, b.rows, b.src_len, 0, b.src_len),
          columns(b.tgt, b.rows, b.tgt_len, 0, b.tgt_len - 1),
          columns(b.tgt, b.rows, b.tgt_len, 1, b.tgt_len)};
}

nn::Dataset translation_data(std::span<const data::TokenPair> pairs, int64_t batch_tokens) {
  return nn::Dataset([pairs, batch_tokens]() -> std::unique_ptr<nn::BatchSource> {
    return std::make_unique<Source>(pairs, batch_tokens);
  });
}

int64_t target_tokens(const nn::Batch& batch) {
  const Array& labels = batch.back();
  const auto* ids = labels.data<int32_t>();
  return std::count_if(ids, ids + labels.size(), [](int32_t id) { return id != kPad; });
}

}  // namespace fovea::models
