#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "frontends/data/sentencepiece_module_internal.h"

namespace {

namespace sp = sentencepiece;

std::string string_of(FoveaText text) { return std::string(text.data, text.size); }

class SentenceWalk final : public sp::SentenceIterator {
 public:
  SentenceWalk(const FoveaText* sentences, size_t count) : sentences_(sentences), count_(count) { take(); }
  bool done() const override { return at_ == count_; }
  void Next() override { ++at_, take(); }
  const std::string& value() const override { return value_; }
  sp::util::Status status() const override { return {}; }

 private:
  void take() {
    if (at_ < count_) value_.assign(sentences_[at_].data, sentences_[at_].size);
  }

  const FoveaText* sentences_;
  size_t count_, at_ = 0;
  std::string value_;
};

void give(FoveaSink sink, void* context, const std::string& text) { sink(context, text.data(), text.size()); }

// The library's own words behind its "file(line) [condition]".
std::string reason(const sp::util::Status& status) {
  const std::string text = status.error_message();
  const size_t end = text.rfind("] ");
  return end == std::string::npos || end + 2 >= text.size() ? text : text.substr(end + 2);
}

int failure(const sp::util::Status& status, FoveaSink sink, void* context) {
  give(sink, context, reason(status));
  return kFoveaSpError;
}

// Exceptions must not cross the boundary of the module.
template <class Call>
int guarded(Call call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return kFoveaSpNoMemory;
  } catch (...) {
    return kFoveaSpError;
  }
}

const sp::SentencePieceProcessor& processor(const void* model) {
  return *static_cast<const sp::SentencePieceProcessor*>(model);
}

int train(const FoveaText* sentences, size_t count, const FoveaText* flags, size_t flag_count, FoveaSink sink,
          void* context) {
  return guarded([&] {
    std::unordered_map<std::string, std::string> options;
    for (size_t i = 0; i < flag_count; ++i) options[string_of(flags[2 * i])] = string_of(flags[2 * i + 1]);
    SentenceWalk walk(sentences, count);
    std::string bytes;
    const sp::util::Status status = sp::SentencePieceTrainer::Train(options, &walk, &bytes);
    if (!status.ok()) return failure(status, sink, context);
    give(sink, context, bytes);
    return int{kFoveaSpOk};
  });
}

int load(FoveaText bytes, void** model, FoveaSink sink, void* context) {
  return guarded([&] {
    auto made = std::make_unique<sp::SentencePieceProcessor>();
    const sp::util::Status status = made->LoadFromSerializedProto({bytes.data, bytes.size});
    if (!status.ok()) return failure(status, sink, context);
    *model = made.release();
    return int{kFoveaSpOk};
  });
}

void free_model(void* model) { delete static_cast<sp::SentencePieceProcessor*>(model); }

int encode(const void* model, FoveaText text, FoveaSink sink, void* context) {
  return guarded([&] {
    std::vector<int> ids;
    static_assert(sizeof(int) == sizeof(int32_t));
    const sp::util::Status status = processor(model).Encode({text.data, text.size}, &ids);
    if (!status.ok()) return failure(status, sink, context);
    sink(context, ids.data(), ids.size() * sizeof(int32_t));
    return int{kFoveaSpOk};
  });
}

int decode(const void* model, const int32_t* ids, size_t count, FoveaSink sink, void* context) {
  return guarded([&] {
    std::string text;
    const sp::util::Status status = processor(model).Decode(std::vector<int>(ids, ids + count), &text);
    if (!status.ok()) return failure(status, sink, context);
    give(sink, context, text);
    return int{kFoveaSpOk};
  });
}

int piece(const void* model, int32_t id, FoveaSink sink, void* context) {
  return guarded([&] {
    give(sink, context, processor(model).IdToPiece(id));
    return int{kFoveaSpOk};
  });
}

int id_of(const void* model, FoveaText text, int32_t* id) {
  return guarded([&] {
    *id = processor(model).PieceToId({text.data, text.size});
    return int{kFoveaSpOk};
  });
}

int64_t vocab_size(const void* model) { return processor(model).GetPieceSize(); }

void special_ids(const void* model, int32_t out[4]) {
  const sp::SentencePieceProcessor& p = processor(model);
  out[0] = p.pad_id(), out[1] = p.unk_id(), out[2] = p.bos_id(), out[3] = p.eos_id();
}

}  // namespace

extern "C" const FoveaSentencepiece* fovea_sentencepiece() {
  static const FoveaSentencepiece table = {sizeof(FoveaSentencepiece),
                                           train,
                                           load,
                                           free_model,
                                           encode,
                                           decode,
                                           piece,
                                           id_of,
                                           vocab_size,
                                           special_ids};
  return &table;
}
