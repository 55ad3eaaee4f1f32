#include "frontends/tools/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "framework/base/error.h"
#include "frontends/data/gzip.h"
#include "frontends/data/random.h"
#include "frontends/data/tokenizer.h"
#include "frontends/data/utf8.h"

namespace fovea::tools {
namespace {

constexpr const char* kCharactersKey = "fovea.characters";
constexpr const char* kTokenizerKey = "fovea.tokenizer";

// The characters of `text`, each as the bytes it has there.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    data::next_code_point(text, at);
    f(text.substr(begin, at - begin));
  }
}

class Characters final : public Vocabulary {
 public:
  // `characters`: each once, in rising order.
  explicit Characters(const std::string& characters) : characters_(characters) {
    for_each_character(characters_, [&](std::string_view c) {
      ids_.emplace(c, static_cast<int32_t>(list_.size()));
      list_.emplace_back(c);
    });
  }
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> out;
    for_each_character(text, [&](std::string_view c) {
      const auto at = ids_.find(c);
      if (at == ids_.end())
        invalid(fmt::format("the character '{}' is none of the {} that the model knows", c, list_.size()));
      out.push_back(at->second);
    });
    return out;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (const int32_t id : ids) out += list_.at(static_cast<size_t>(id));
    return out;
  }
  int64_t size() const override { return static_cast<int64_t>(list_.size()); }
  int32_t begin() const override {
    const auto line_end = ids_.find("\n");
    return line_end == ids_.end() ? 0 : line_end->second;
  }
  int32_t never() const override { return -1; }
  std::map<std::string, std::string> metadata() const override { return {{kCharactersKey, characters_}}; }

 private:
  std::string characters_;
  std::vector<std::string> list_;
  std::map<std::string, int32_t, std::less<>> ids_;
};

class Pieces final : public Vocabulary {
 public:
  explicit Pieces(data::Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> out;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::vector<int32_t> line = tokenizer_.encode(text.substr(begin, end - begin));
      out.insert(out.end(), line.begin(), line.end());
      if (end < text.size()) out.push_back(data::Tokenizer::kEos);
      begin = end + 1;
    }
    return out;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (size_t begin = 0; begin < ids.size();) {
      const auto end = static_cast<size_t>(
          std::find(ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end(), data::Tokenizer::kEos) -
          ids.begin());
      out += tokenizer_.decode(ids.subspan(begin, end - begin));
      if (end < ids.size()) out += '\n';
      begin = end + 1;
    }
    return out;
  }
  int64_t size() const override { return tokenizer_.vocab_size(); }
  int32_t begin() const override { return data::Tokenizer::kEos; }
  int32_t never() const override { return data::Tokenizer::kBos; }
  std::map<std::string, std::string> metadata() const override {
    return {{kTokenizerKey, tokenizer_.bytes()}};
  }

 private:
  data::Tokenizer tokenizer_;
};

// Windows of a text; those of an epoch of training begin at a random place and come in random order.
class WindowSource final : public nn::BatchSource {
 public:
  WindowSource(std::shared_ptr<const std::vector<int32_t>> ids, WindowOptions options, MakeBatch make)
      : ids_(std::move(ids)), options_(options), make_(std::move(make)) {}

  int64_t begin_epoch(uint64_t seed, int64_t epoch) override {
    data::Random random(seed, static_cast<uint64_t>(epoch));
    starts_.clear();
    const auto size = static_cast<int64_t>(ids_->size()), length = options_.length;
    const auto room = static_cast<uint64_t>(size - length);
    const auto first =
        options_.training
            ? static_cast<int64_t>(random.below(std::min(static_cast<uint64_t>(length), room + 1)))
            : 0;
    for (int64_t at = first;
         at + length <= size && (options_.most == 0 || static_cast<int64_t>(starts_.size()) < options_.most);
         at += length)
      starts_.push_back(at);
    if (options_.training) random.shuffle(starts_);
    seed_ = options_.training ? random.next() : 0;
    return (static_cast<int64_t>(starts_.size()) + options_.batch - 1) / options_.batch;
  }
  nn::Batch make(int64_t index) override {
    std::vector<std::span<const int32_t>> windows;
    std::vector<uint64_t> random;
    const int64_t begin = index * options_.batch,
                  end = std::min(begin + options_.batch, static_cast<int64_t>(starts_.size()));
    for (int64_t i = begin; i < end; ++i) {
      const auto start = static_cast<size_t>(starts_[static_cast<size_t>(i)]);
      windows.push_back(std::span(*ids_).subspan(start, static_cast<size_t>(options_.length)));
      random.push_back(data::Random(seed_, start).next());
    }
    return make_(windows, random);
  }

 private:
  std::shared_ptr<const std::vector<int32_t>> ids_;
  WindowOptions options_;
  MakeBatch make_;
  std::vector<int64_t> starts_;
  uint64_t seed_ = 0;
};

}  // namespace

std::string read_text(const std::string& path) {
  std::string text = data::read_gzip_or_plain(path);
  if (text.empty()) invalid("\"" + path + "\" is empty");
  if (const int64_t bad = data::find_bad_utf8(text); bad >= 0)
    fail(ErrorKind::Corrupt, fmt::format("\"{}\": byte {} is not UTF-8 text", path, bad));
  return text;
}

std::unique_ptr<Vocabulary> character_vocabulary(std::string_view text) {
  std::set<std::string_view> found;  // the order of UTF-8 bytes is that of the code points
  for_each_character(text, [&](std::string_view c) { found.insert(c); });
  std::string characters;
  for (const std::string_view c : found) characters += c;
  return std::make_unique<Characters>(characters);
}

std::unique_ptr<Vocabulary> piece_vocabulary(std::string_view text, int64_t size) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return std::make_unique<Pieces>(data::Tokenizer::train(lines, {.vocab_size = size}));
}

std::unique_ptr<Vocabulary> vocabulary_of(const std::map<std::string, std::string>& metadata) {
  if (const auto at = metadata.find(kCharactersKey); at != metadata.end())
    return std::make_unique<Characters>(at->second);
  if (const auto at = metadata.find(kTokenizerKey); at != metadata.end())
    return std::make_unique<Pieces>(data::Tokenizer::from_bytes(at->second));
  invalid("the file has no vocabulary");
}

size_t training_part(size_t count, int64_t least) {
  const size_t train = count - count / 10;
  if (static_cast<int64_t>(count - train) < least || static_cast<int64_t>(train) < least)
    invalid(
        fmt::format("the text has {} tokens, {} to train on and {} to validate; both parts need at least {}",
                    count, train, count - train, least));
  return train;
}

int64_t window_count(size_t ids, const WindowOptions& o) {
  // An epoch that begins late has one window less.
  const auto size = static_cast<int64_t>(ids);
  return std::max<int64_t>(1, (size - o.length + 1) / o.length);
}

nn::Dataset windows_of(std::shared_ptr<const std::vector<int32_t>> ids, WindowOptions options,
                       MakeBatch make) {
  return nn::Dataset([=] { return std::make_unique<WindowSource>(ids, options, make); });
}

}  // namespace fovea::tools
