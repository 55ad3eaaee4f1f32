#include "frontends/models/translation/saved_translator.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "framework/base/error.h"
#include "frontends/data/utf8.h"
#include "frontends/models/translation/corpus.h"
#include "graph/serial/model_file.h"

namespace fovea::models {
namespace {

using data::Tokenizer;

bool is_folder(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The longest sequence that the network can take; none for a recurrent one.
int64_t read_length(const std::string& path, const std::string& text) {
  const auto j = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || (j.contains("length") && !j["length"].is_number_integer()))
    fail(ErrorKind::Corrupt,
         "\"" + path + "\": the metadata '" + kNetworkKey + "' does not read as a network's sizes");
  return j.value("length", int64_t{1} << 30);
}

nn::GenerateOptions read_defaults(const std::string& path, const std::string& text) {
  nn::GenerateOptions o;
  try {
    const auto j = nlohmann::json::parse(text);
    o.beam = j.value("beam", o.beam);
    o.length_penalty = j.value("length_penalty", o.length_penalty);
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorKind::Corrupt,
         "\"" + path + "\": the metadata '" + kDecodingKey + "' does not read: " + e.what());
  }
  o.bos = Tokenizer::kBos;
  o.eos = Tokenizer::kEos;
  o.suppress = {Tokenizer::kPad, Tokenizer::kUnk, Tokenizer::kBos};
  return o;
}

// A line as it is tokenised: malformed bytes cannot be.
void check_text(const std::string& text) {
  if (const int64_t bad = data::find_bad_utf8(text); bad >= 0)
    invalid("the text is not UTF-8: byte " + std::to_string(bad) + " of \"" + text.substr(0, 60) + "\"");
}

}  // namespace

struct SavedTranslator::Impl {
  std::string path;
  std::shared_ptr<fovea::Module> module;
  std::map<std::string, std::string> metadata;
  Tokenizer tokenizer;
  nn::DecoderGraphs decoder;
  nn::GraphEntry nll, attention;
  nn::GenerateOptions defaults;
  int64_t length;
};

SavedTranslator::SavedTranslator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SavedTranslator::SavedTranslator(SavedTranslator&&) noexcept = default;
SavedTranslator::~SavedTranslator() = default;

SavedTranslator SavedTranslator::load(const std::string& given) {
  const std::string path = is_folder(given) ? given + "/model.fovea" : given;
  ModelFile file = fovea::load(path);
  for (const char* key : {kNetworkKey, kDecodingKey, kTokenizerKey})
    if (!file.metadata.contains(key))
      invalid("\"" + path + "\" is no translator: it has no metadata '" + key + "'");
  for (const char* entry : {"encode", "decode_step", "decode_rows", "nll", "attention"})
    if (!file.module->functions.contains(entry))
      invalid("\"" + path + "\" is no translator: it has no entry '" + std::string(entry) + "'");
  std::map<std::string, Array> weights(file.tensors.begin(), file.tensors.end());
  auto impl = std::make_unique<Impl>(Impl{
      path, file.module, file.metadata, Tokenizer::from_bytes(file.metadata.at(kTokenizerKey)),
      nn::DecoderGraphs(file.module, weights), nn::GraphEntry::make(file.module, "nll", weights),
      nn::GraphEntry::make(file.module, "attention", weights),
      read_defaults(path, file.metadata.at(kDecodingKey)), read_length(path, file.metadata.at(kNetworkKey))});
  return SavedTranslator(std::move(impl));
}

const Tokenizer& SavedTranslator::tokenizer() const { return impl_->tokenizer; }
nn::GenerateOptions SavedTranslator::defaults() const { return impl_->defaults; }
const std::map<std::string, std::string>& SavedTranslator::metadata() const { return impl_->metadata; }

std::vector<std::vector<Translation>> SavedTranslator::translate(std::span<const std::string> texts,
                                                                 const TranslateOptions& options) const {
  if (options.max_length < 0 || options.max_length > impl_->length)
    invalid("max_length is " + std::to_string(options.max_length) + ", the network takes 1 to " +
            std::to_string(impl_->length));
  std::vector<std::vector<int32_t>> ids;
  std::vector<char> cut(texts.size());
  std::vector<int64_t> order;
  for (const std::string& t : texts) {
    check_text(t);
    bool too_long = false;
    ids.push_back(source_ids(impl_->tokenizer, t, &too_long));
    cut[ids.size() - 1] = too_long;
    if (ids.back().size() > 1) order.push_back(static_cast<int64_t>(ids.size()) - 1);
  }
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return ids[static_cast<size_t>(a)].size() < ids[static_cast<size_t>(b)].size();
  });
  const auto rows = static_cast<size_t>(
      std::max<int64_t>(1, options.batch_rows / std::max(options.generate.beam, options.generate.n_best)));

  std::vector<std::vector<Translation>> out(
      texts.size(), std::vector<Translation>(static_cast<size_t>(options.generate.n_best)));
  for (size_t begin = 0; begin < order.size(); begin += rows) {
    const std::span<const int64_t> batch =
        std::span(order).subspan(begin, std::min(rows, order.size() - begin));
    const auto width = static_cast<int64_t>(ids[static_cast<size_t>(batch.back())].size());
    Array source = Array::zeros(DType::i32, {static_cast<int64_t>(batch.size()), width});
    std::vector<nn::GenerateRequest> requests;
    for (size_t r = 0; r < batch.size(); ++r) {
      const auto& line = ids[static_cast<size_t>(batch[r])];
      std::copy(line.begin(), line.end(), source.data<int32_t>() + static_cast<int64_t>(r) * width);
      const auto length = static_cast<int64_t>(line.size());
      requests.push_back({options.max_length > 0 ? options.max_length : 2 * length + 8,
                          options.first_stream + static_cast<uint64_t>(batch[r])});
    }
    nn::GraphDecoder decoder(impl_->decoder, {source});
    auto results = nn::generate(decoder, requests, options.generate);
    for (size_t r = 0; r < batch.size(); ++r)
      for (size_t k = 0; k < results[r].size(); ++k) {
        nn::Hypothesis& h = results[r][k];
        out[static_cast<size_t>(batch[r])][k] = {impl_->tokenizer.decode(h.tokens), std::move(h),
                                                 cut[static_cast<size_t>(batch[r])] != 0};
      }
  }
  return out;
}

NllSum SavedTranslator::nll(std::span<const data::TokenPair> pairs, int64_t batch_tokens) const {
  NllSum out;
  if (pairs.empty()) return out;
  for (const auto& group : data::bucket_batches(pairs, batch_tokens, 0, 0)) {
    const nn::Batch batch = translation_batch(pairs, group);
    out.sum += impl_->nll.run(batch)[0].item();
    out.tokens += target_tokens(batch);
  }
  return out;
}

SourceAttention SavedTranslator::attention(const std::string& text, std::span<const int32_t> target) const {
  check_text(text);
  const std::vector<int32_t> source = source_ids(impl_->tokenizer, text);
  std::vector<int32_t> behind{Tokenizer::kBos};  // row t looks while it produces target[t]
  behind.insert(behind.end(), target.begin(), target.end());
  const std::vector<Array> out =
      impl_->attention.run({Array::of(source, {1, static_cast<int64_t>(source.size())}),
                            Array::of(behind, {1, static_cast<int64_t>(behind.size())})});
  SourceAttention map;
  for (const int32_t id : source) map.source.push_back(impl_->tokenizer.piece(id));
  for (const int32_t id : target) map.target.push_back(impl_->tokenizer.piece(id));
  map.target.push_back(impl_->tokenizer.piece(Tokenizer::kEos));
  map.layers = out[0].dim(1);
  map.heads = out[0].dim(2);
  map.weights = out[0].to_vector<float>();
  return map;
}

}  // namespace fovea::models
