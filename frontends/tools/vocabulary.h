// Text as token ids, for the subcommands that train language models.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/nn/dataset.h"

namespace fovea::tools {

/// A UTF-8 text file, plain or gzip. IO, Corrupt with path and byte, InvalidArgument for an empty one.
std::string read_text(const std::string& path);

/// Token ids of texts, and back.
class Vocabulary {
 public:
  virtual ~Vocabulary() = default;
  /// InvalidArgument for a character there is no id for.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual int64_t size() const = 0;
  /// A token that new text may begin behind, and one that never comes in a text (-1 where there is none).
  virtual int32_t begin() const = 0;
  virtual int32_t never() const = 0;

  /// What `from_metadata` reads: "fovea.characters" or "fovea.tokenizer".
  virtual std::map<std::string, std::string> metadata() const = 0;
};

/// An id for each character of `text`.
std::unique_ptr<Vocabulary> character_vocabulary(std::string_view text);
/// `size` SentencePiece pieces learnt from the lines of `text`; a line ends in eos.
std::unique_ptr<Vocabulary> piece_vocabulary(std::string_view text, int64_t size);
/// The vocabulary of a file; InvalidArgument where it has none.
std::unique_ptr<Vocabulary> vocabulary_of(const std::map<std::string, std::string>& metadata);

/// Where a text of `count` tokens is cut: the first nine tenths train. InvalidArgument where one of the parts
/// has less than `least` tokens.
size_t training_part(size_t count, int64_t least);

/// Turns windows of a text into batches. Training windows begin at another place in every epoch and come in
/// random order.
struct WindowOptions {
  int64_t length = 0;  ///< tokens of a window
  int64_t batch = 0;
  bool training = true;  ///< false: in order, and the same each time
  int64_t most = 0;      ///< windows; 0: all
};
/// One batch from windows [rows, length] of ids; the random state depends on seed, epoch and place of the
/// window.
using MakeBatch = std::function<nn::Batch(std::span<const std::span<const int32_t>> windows,
                                          std::span<const uint64_t> random)>;
nn::Dataset windows_of(std::shared_ptr<const std::vector<int32_t>> ids, WindowOptions options,
                       MakeBatch make);
/// How many windows an epoch has at least.
int64_t window_count(size_t ids, const WindowOptions& options);

}  // namespace fovea::tools
