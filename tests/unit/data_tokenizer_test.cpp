// The tokeniser: special ids, round trips, determinism, silence, and models that were tampered with.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "framework/base/error.h"
#include "frontends/data/random.h"
#include "frontends/data/sentencepiece_check_internal.h"
#include "frontends/data/tokenizer.h"

namespace fovea::data {
namespace {

const std::vector<std::string>& sentences() {
  static const std::vector<std::string> all = [] {
    const std::vector<std::string> subjects = {"the old dog", "a small bird", "my neighbour",
                                               "the café owner", "every child"};
    const std::vector<std::string> verbs = {"opens", "closes", "paints", "forgets", "watches", "repairs"};
    const std::vector<std::string> objects = {"the window", "a letter", "the garden gate", "its été",
                                              "two boxes"};
    std::vector<std::string> out;
    for (const auto& s : subjects)
      for (const auto& v : verbs)
        for (const auto& o : objects) out.push_back(s + " " + v + " " + o);
    return out;
  }();
  return all;
}

const Tokenizer& tokenizer() {
  static const Tokenizer trained = Tokenizer::train(sentences(), {.vocab_size = 48});
  return trained;
}

template <class Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::Unsupported, "no error");
}

TEST(Tokenizer, SpecialIdsAndPieces) {
  const Tokenizer& t = tokenizer();
  EXPECT_EQ(t.vocab_size(), 48);
  EXPECT_EQ(t.piece(Tokenizer::kPad), "<pad>");
  EXPECT_EQ(t.piece(Tokenizer::kUnk), "<unk>");
  EXPECT_EQ(t.piece(Tokenizer::kBos), "<s>");
  EXPECT_EQ(t.piece(Tokenizer::kEos), "</s>");
  for (int32_t id = 0; id < t.vocab_size(); ++id) EXPECT_EQ(t.id_of(t.piece(id)), id);
  EXPECT_EQ(t.id_of("no such piece"), Tokenizer::kUnk);
}

TEST(Tokenizer, RoundTrip) {
  const Tokenizer& t = tokenizer();
  for (const std::string& sentence : sentences()) {
    std::vector<int32_t> ids = t.encode(sentence);
    EXPECT_LT(ids.size(), sentence.size());
    for (const int32_t id : ids) EXPECT_GT(id, Tokenizer::kEos);
    ids.insert(ids.begin(), Tokenizer::kBos);
    ids.insert(ids.end(), {Tokenizer::kEos, Tokenizer::kPad, Tokenizer::kPad});
    EXPECT_EQ(t.decode(ids), sentence);
  }
  EXPECT_TRUE(t.encode("").empty());
  EXPECT_EQ(t.decode({}), "");
}

TEST(Tokenizer, NormalizesAndMarksTheUnknown) {
  const Tokenizer& t = tokenizer();
  EXPECT_EQ(t.encode("  the \u00a0 ca\u0066e\u0301 owner "), t.encode("the café owner"));  // NFKC, spaces
  const auto ids = t.encode("the 東 dog");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), Tokenizer::kUnk), 1);
  EXPECT_NO_THROW(t.encode("\xFF\xC3 broken"));
}

TEST(Tokenizer, TrainingIsDeterministicAndSilent) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const Tokenizer again = Tokenizer::train(sentences(), {.vocab_size = 48});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(again.bytes(), tokenizer().bytes());
}

TEST(Tokenizer, BytePairEncodingToo) {
  const Tokenizer t = Tokenizer::train(sentences(), {.vocab_size = 48, .kind = TokenizerKind::Bpe});
  EXPECT_EQ(t.vocab_size(), 48);
  EXPECT_NE(t.bytes(), tokenizer().bytes());
  EXPECT_EQ(t.decode(t.encode(sentences()[17])), sentences()[17]);
}

TEST(Tokenizer, BytesHoldTheWholeModel) {
  const Tokenizer loaded = Tokenizer::from_bytes(tokenizer().bytes());
  EXPECT_EQ(loaded.bytes(), tokenizer().bytes());
  EXPECT_EQ(loaded.vocab_size(), 48);
  for (const std::string& sentence : sentences())
    EXPECT_EQ(loaded.encode(sentence), tokenizer().encode(sentence));
}

TEST(Tokenizer, TrainingErrorsAreTyped) {
  const std::vector<std::string> blank = {"", "  ", "\u2581"}, one = {"word"};
  EXPECT_EQ(error_of([&] { Tokenizer::train({}, {}); }).kind(), ErrorKind::InvalidArgument);
  EXPECT_EQ(error_of([&] { Tokenizer::train(blank, {}); }).kind(), ErrorKind::InvalidArgument);
  EXPECT_EQ(error_of([&] { Tokenizer::train(one, {.vocab_size = 4}); }).message(),
            "vocab_size is 4, it must be in [5, 16777216]");
  EXPECT_EQ(error_of([&] { Tokenizer::train(one, {.character_coverage = 0.5}); }).kind(),
            ErrorKind::InvalidArgument);
  const Error many = error_of([&] { Tokenizer::train(one, {.vocab_size = 4000}); });
  EXPECT_EQ(many.kind(), ErrorKind::InvalidArgument);
  EXPECT_NE(many.message().find("Vocabulary size too high (4000)"), std::string::npos) << many.message();
}

TEST(Tokenizer, IdsOutOfRangeAreTyped) {
  const std::vector<int32_t> over = {5, 48}, under = {-1};
  EXPECT_EQ(error_of([&] { tokenizer().decode(over); }).message(),
            "token id 48 is out of range, the vocabulary has 48");
  EXPECT_EQ(error_of([&] { tokenizer().decode(under); }).kind(), ErrorKind::InvalidArgument);
  EXPECT_EQ(error_of([&] { tokenizer().piece(48); }).kind(), ErrorKind::InvalidArgument);
}

TEST(Tokenizer, ForeignBytesAreCorrupt) {
  for (const char* bytes : {"", "hello", "\x08\x01", "{\"json\": 1}"})
    EXPECT_EQ(error_of([&] { Tokenizer::from_bytes(bytes); }).kind(), ErrorKind::Corrupt) << bytes;
}

TEST(Tokenizer, DamagedModelsAreRefusedOrHarmless) {
  const std::string& whole = tokenizer().bytes();
  Random random(11, 0);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = whole;
    if (i % 3 == 0) bytes.resize(random.below(bytes.size()));
    for (int k = 0; k < 4 && !bytes.empty(); ++k)
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    try {
      const Tokenizer t = Tokenizer::from_bytes(bytes);
      t.decode(t.encode("the \uFB01rst cafe\u0301 パ ½ owner"));
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
    }
  }
  EXPECT_GT(refused, 200);
}

// A model of nothing but a normalizer with this character map.
std::string with_map(const std::string& map) {
  const std::string normalizer = std::string("\x12") + static_cast<char>(map.size()) + map;
  return std::string("\x1A") + static_cast<char>(normalizer.size()) + normalizer;
}

TEST(SentencepieceCheck, LooksAtEveryLinkOfTheCharacterMap) {
  EXPECT_EQ(check_sentencepiece_model(tokenizer().bytes()), "");
  EXPECT_EQ(check_sentencepiece_model(with_map("")), "");
  EXPECT_EQ(check_sentencepiece_model(with_map("abc")),
            "byte 4: the character map has 3 bytes, its size field alone takes 4");
  const std::string size_4("\4\0\0\0", 4), size_99("\x63\0\0\0", 4), unit(4, '\0');
  EXPECT_NE(
      check_sentencepiece_model(with_map(size_99 + unit + '\0')).find("a trie of 99 bytes does not fit"),
      std::string::npos);
  EXPECT_NE(check_sentencepiece_model(with_map(size_4 + unit + 'x')).find("has no end"), std::string::npos);
  EXPECT_NE(check_sentencepiece_model(with_map(size_4 + unit + '\0'))
                .find("unit 0 of the character map leads outside its 1"),
            std::string::npos);
  EXPECT_EQ(check_sentencepiece_model("\x1A\x05"
                                      "ab"),
            "it is not a sequence of fields");
}

}  // namespace
}  // namespace fovea::data
