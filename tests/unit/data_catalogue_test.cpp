// Catalogues are built byte by byte here, so that the reader is held against the format and not against
// itself.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "framework/base/error.h"
#include "frontends/data/catalogue.h"
#include "frontends/data/plural_rule_internal.h"
#include "frontends/data/utf8.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;
using Messages = std::vector<std::pair<std::string, std::string>>;

const std::string kHeader = "Project-Id-Version: x\nContent-Type: text/plain; charset=UTF-8\n";

std::string catalogue(const Messages& messages, bool big_endian = false) {
  const auto word = [&](std::string& out, uint32_t value) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> 8 * (big_endian ? 3 - i : i));
  };
  const auto count = static_cast<uint32_t>(messages.size());
  std::string head, tables[2], texts;
  for (const uint32_t value : {0x950412deu, 0u, count, 28u, 28 + 8 * count, 0u, 0u}) word(head, value);
  for (int side = 0; side < 2; ++side)
    for (const auto& [source, target] : messages) {
      const std::string& text = side == 0 ? source : target;
      word(tables[side], static_cast<uint32_t>(text.size()));
      word(tables[side], static_cast<uint32_t>(28 + 16 * count + texts.size()));
      texts += text + '\0';
    }
  return head + tables[0] + tables[1] + texts;
}

std::string error_of(const std::string& bytes) {
  try {
    parse_catalogue(bytes, "x.mo");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    return error.message();
  }
  return "no error";
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("fovea_catalogues_" + std::to_string(::getpid()));
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& bytes) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << bytes;
  }
  fs::path root_;
};

TEST(Catalogue, ReadsBothByteOrders) {
  for (const bool big_endian : {false, true}) {
    const auto entries = parse_catalogue(
        catalogue({{"", kHeader}, {"Open", "Ouvrir"}, {"File", "Fichier é"}}, big_endian), "x.mo");
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[1].source, "Open");
    EXPECT_EQ(entries[1].target, "Ouvrir");
    EXPECT_EQ(entries[1].plural_form, -1);
    EXPECT_EQ(entries[2].target, "Fichier é");
  }
}

TEST(Catalogue, PluralsGiveOneEntryPerForm) {
  const auto entries = parse_catalogue(
      catalogue({{std::string("%d file\0%d files", 15), std::string("une\0deux\0", 9)}, {"%d file", "seul"}}),
      "x.mo");
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].source, "%d file");
  EXPECT_EQ(entries[0].target, "une");
  EXPECT_EQ(entries[0].plural_form, 0);
  EXPECT_EQ(entries[1].target, "deux");
  EXPECT_EQ(entries[1].plural_form, 1);
  EXPECT_EQ(entries[2].target, "");
  EXPECT_EQ(entries[3].target, "seul");  // not a form of the plural message
  EXPECT_EQ(entries[3].plural_form, -1);
}

TEST(Catalogue, ARepeatedMessageKeepsItsPlaceAndTakesTheLastText) {
  const auto entries = parse_catalogue(catalogue({{"a", "1"}, {"b", "2"}, {"a", "3"}}), "x.mo");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].source, "a");
  EXPECT_EQ(entries[0].target, "3");
}

TEST(Catalogue, CharsetOfTheHeaderCounts) {
  const auto latin = parse_catalogue(
      catalogue({{"", "Content-Type: text/plain; charset=ISO-8859-1\n"}, {"summer", "\xE9t\xE9"}}), "x.mo");
  EXPECT_EQ(latin[1].target, "été");
  const auto russian = parse_catalogue(
      catalogue({{"", "content-TYPE : text/plain; charset=KOI8-R\n"}, {"yes", "\xC4\xC1"}}), "x.mo");
  EXPECT_EQ(russian[1].target, "да");
  EXPECT_NE(error_of(catalogue({{"summer", "\xE9t\xE9"}})).find("ascii"), std::string::npos);
  EXPECT_NE(
      error_of(catalogue({{"", kHeader}, {"summer", "\xE9t\xE9"}})).find("not valid in the charset utf-8"),
      std::string::npos);
  EXPECT_NE(
      error_of(catalogue({{"", "Content-Type: text/plain; charset=CHARSET\n"}})).find("'CHARSET' is unknown"),
      std::string::npos);
  EXPECT_NE(error_of(catalogue({{"", "Content-Type: text/plain; charset=latin1//IGNORE\n"}})).find("unknown"),
            std::string::npos);
}

TEST(Catalogue, PluralRulesAreChecked) {
  for (const char* sound :
       {"n != 1", "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 ? 1 : 2)", "0", "!n", "n==1 || !(n>5)"})
    EXPECT_EQ(check_plural_rule(sound), "") << sound;
  for (const char* broken :
       {"EXPRESSION", "", "n +", "(n", "n)", "n ? 1", "2n", "n = 1", "n == !n", "n & 1", "-n", "nn"})
    EXPECT_NE(check_plural_rule(broken), "") << broken;
  EXPECT_EQ(check_plural_rule(std::string(20, '(') + "n" + std::string(20, ')')), "");
  EXPECT_NE(check_plural_rule(std::string(21, '(') + "n" + std::string(21, ')')), "");
  EXPECT_NE(check_plural_rule(std::string(1001, ' ')), "");
  const std::string error =
      error_of(catalogue({{"", "Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\n"}}));
  EXPECT_NE(error.find("Plural-Forms: the rule 'EXPRESSION'"), std::string::npos) << error;
}

TEST(Catalogue, EveryCutIsATypedError) {
  const std::string whole =
      catalogue({{"", kHeader}, {"Open", "Ouvrir"}, {std::string("a\0b", 3), std::string("c\0d", 3)}});
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string error = error_of(whole.substr(0, size));
    EXPECT_EQ(error.rfind("x.mo: byte ", 0), 0u) << size << ": " << error;
  }
}

TEST(Catalogue, ForeignFilesAreTypedErrors) {
  std::string bytes = catalogue({{"a", "b"}});
  EXPECT_EQ(error_of(std::string(64, 'x')), "x.mo: byte 0, magic: is not that of a gettext catalogue");
  std::string other = bytes;
  other[6] = 2;
  EXPECT_EQ(error_of(other), "x.mo: byte 4, version: major version is 2, 0 and 1 are known");
  other = bytes;
  other[11] = 0x7F;  // two thousand million messages
  EXPECT_NE(error_of(other).find("string table"), std::string::npos);
  other = bytes;
  other[28 + 7] = '\xFF';
  EXPECT_NE(error_of(other).find("byte 28, string"), std::string::npos);
  EXPECT_NE(error_of(catalogue({{std::string("a\0b\0c", 5), "x"}})).find("more than two source forms"),
            std::string::npos);
}

TEST(Catalogue, SharedStringsCannotFillTheMemory) {
  // 4000 messages whose translations are all the same 64 KiB.
  const uint32_t count = 4000;
  std::string text(65536, 'x'), head, sources, targets;
  const auto word = [](std::string& out, uint32_t v) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(v >> 8 * i);
  };
  for (const uint32_t value : {0x950412deu, 0u, count, 28u, 28 + 8 * count, 0u, 0u}) word(head, value);
  for (uint32_t i = 0; i < count; ++i) {
    word(sources, 4), word(sources, 28 + 16 * count);
    word(targets, 65536), word(targets, 28 + 16 * count);
  }
  EXPECT_NE(error_of(head + sources + targets + text + '\0').find("overlap"), std::string::npos);
}

TEST(CleanMessage, Rules) {
  TextPair pair;
  ASSERT_TRUE(clean_message("menu\x04_Open ~file  &now", " Ouvrir le _fichier ", pair));
  EXPECT_EQ(pair, (TextPair{"Open file  now", "Ouvrir le fichier"}));
  ASSERT_TRUE(clean_message("a _ b & c __d _é _、x", "y", pair));  // only before word characters
  EXPECT_EQ(pair.source, "a _ b & c d é _、x");
  ASSERT_TRUE(
      clean_message("\u00a0trim\u3000\n", "x", pair));  // Unicode white space; a line end at the end goes too
  EXPECT_EQ(pair.source, "trim");

  for (const char* unwanted : {"100%", "a <b>", "{x} y", "$y x", "two\nlines", "ABC", "123", "_", "", "é"})
    EXPECT_FALSE(clean_message(unwanted, "x", pair)) << unwanted;
  EXPECT_FALSE(clean_message("same", "_same", pair));
  EXPECT_FALSE(clean_message("word", " ", pair));
  EXPECT_FALSE(clean_message("word", "", pair));
  std::string words = "a";
  for (int i = 1; i < 24; ++i) words += " a";
  EXPECT_TRUE(clean_message(words, "x", pair));
  EXPECT_FALSE(clean_message(words + "\u2003a", "x", pair));
}

TEST_F(Folder, PairsComeInTheOrderOfPathsAndTheFirstStays) {
  put("b/fr/LC_MESSAGES/one.mo", catalogue({{"", kHeader}, {"open", "ouvrir"}, {"close", "fermer"}}));
  put("a/share/fr/LC_MESSAGES/two.mo",
      catalogue({{"", kHeader},
                 {"open", "ouvrez"},
                 {std::string("day\0days", 8), std::string("jour\0jours", 10)}}));
  put("a/share/fr/LC_MESSAGES/.hidden.mo", catalogue({{"hidden", "x"}}));
  put("a/.secret/fr/LC_MESSAGES/three.mo", catalogue({{"secret", "x"}}));
  put("a/share/fr/LC_TIME/four.mo", catalogue({{"time", "x"}}));
  put("a/share/de/LC_MESSAGES/five.mo", catalogue({{"open", "auf"}}));
  put("a/share/fr/LC_MESSAGES/zz_broken.mo", "not a catalogue, but long enough to hold a header");
  fs::create_directory_symlink("..", root_ / "a/share/loop");

  std::vector<std::string> skipped;
  const auto pairs = read_pairs(root_.string(), "fr", &skipped);
  const std::vector<TextPair> expected = {{"open", "ouvrez"}, {"day", "jour"}, {"close", "fermer"}};
  EXPECT_EQ(pairs, expected);
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find("zz_broken.mo: byte 0, magic"), std::string::npos) << skipped[0];
}

TEST_F(Folder, AMissingLanguageListsThoseThatAreThere) {
  const auto message = [&](const std::string& lang) {
    try {
      read_pairs(root_.string(), lang);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      return error.message();
    }
    return std::string("no error");
  };
  EXPECT_EQ(message("fr"), "no gettext catalogue under '" + root_.string() + "': looked for " +
                               root_.string() + "/**/fr/LC_MESSAGES/*.mo");
  put("de/LC_MESSAGES/a.mo", catalogue({}));
  put("pt_BR/LC_MESSAGES/a.mo", catalogue({}));
  EXPECT_NE(message("fr").find("there are: de, pt_BR"), std::string::npos) << message("fr");
  EXPECT_NE(message("../de").find("is not a language code"), std::string::npos);
  EXPECT_THROW(read_pairs("/no/such/folder", "fr"), Error);
}

TEST(Utf8, MalformedSequencesAreFoundWhereTheyStart) {
  EXPECT_EQ(find_bad_utf8("aé東🙂"), -1);
  EXPECT_EQ(find_bad_utf8("ab\xC3"), 2);            // cut short
  EXPECT_EQ(find_bad_utf8("\xC0\xAF"), 0);          // overlong
  EXPECT_EQ(find_bad_utf8("a\xE0\x9F\xBF"), 1);     // overlong
  EXPECT_EQ(find_bad_utf8("\xED\xA0\x80"), 0);      // surrogate
  EXPECT_EQ(find_bad_utf8("\xF4\x90\x80\x80"), 0);  // beyond U+10FFFF
  EXPECT_EQ(find_bad_utf8("\x80"), 0);
  EXPECT_EQ(code_points("é東🙂"), (std::vector<uint32_t>{0xE9, 0x6771, 0x1F642}));
}

TEST(Utf8, WordCharacters) {
  for (const char32_t c :
       {U'a', U'Z', U'0', U'_', U'é', U'я', U'東', U'٣', U'²', U'Ⅷ', U'ǆ', char32_t{0x3134A}})
    EXPECT_TRUE(is_word(c)) << std::hex << static_cast<uint32_t>(c);
  for (const char32_t c : {U' ', U'-', U'«', U'、', char32_t{0x301}, U'€', U'🙂', char32_t{0x31350},
                           char32_t{0x10FFFF}, char32_t{0}})
    EXPECT_FALSE(is_word(c)) << std::hex << static_cast<uint32_t>(c);
}

}  // namespace
}  // namespace fovea::data
