// The calls into SentencePiece as a table of C functions. Debian's SentencePiece holds and exports a Protobuf
// of its own, older than the one that the rest of a program may use; in one symbol scope the two end the
// program before main. So the file behind this table may be built as a module of its own, which is opened
// with its own scope when a tokeniser is first used, or, where no other Protobuf is linked dynamically,
// simply be linked in.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct FoveaText {
  const char* data;
  size_t size;
};

/// Takes a call's result: text, or int32 ids as bytes; on failure the message.
typedef void (*FoveaSink)(void* context, const void* data, size_t bytes);

enum FoveaSentencepieceStatus { kFoveaSpOk = 0, kFoveaSpError = 1, kFoveaSpNoMemory = 2 };

/// Every int is a FoveaSentencepieceStatus. A sink is called once before a call returns, and owns nothing
/// after.
struct FoveaSentencepiece {
  size_t struct_size;
  /// `flags` are pairs of name and value. Gives the serialized model.
  int (*train)(const FoveaText* sentences, size_t count, const FoveaText* flags, size_t flag_count, FoveaSink,
               void*);
  /// `model` must be given to free.
  int (*load)(FoveaText bytes, void** model, FoveaSink, void*);
  void (*free)(void* model);
  int (*encode)(const void* model, FoveaText text, FoveaSink, void*);
  int (*decode)(const void* model, const int32_t* ids, size_t count, FoveaSink, void*);
  int (*piece)(const void* model, int32_t id, FoveaSink, void*);
  int (*id_of)(const void* model, FoveaText piece, int32_t* id);
  int64_t (*vocab_size)(const void* model);
  /// pad, unk, bos, eos.
  void (*special_ids)(const void* model, int32_t out[4]);
};

/// The table; null in a program that does not link it in.
__attribute__((weak, visibility("default"))) const FoveaSentencepiece* fovea_sentencepiece();
}
