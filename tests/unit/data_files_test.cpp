// Splits and digests, tab-separated files, CSV, IDX.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "framework/base/error.h"
#include "frontends/data/csv.h"
#include "frontends/data/gzip.h"
#include "frontends/data/idx.h"
#include "frontends/data/pairs.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

class File : public testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& path : paths_) fs::remove(path);
  }
  std::string path() {
    paths_.push_back((fs::temp_directory_path() /
                      ("fovea_file_" + std::to_string(::getpid()) + "_" + std::to_string(paths_.size())))
                         .string());
    return paths_.back();
  }
  std::string put(const std::string& bytes) {
    const std::string name = path();
    std::ofstream(name, std::ios::binary) << bytes;
    return name;
  }
  std::string put_gzip(const std::string& bytes) {
    const std::string name = path();
    gzFile file = gzopen(name.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return name;
  }
  std::vector<std::string> paths_;
};

template <class Call>
std::string error_of(ErrorKind kind, Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    return error.message();
  }
  return "no error";
}

TEST(Pairs, SplitFollowsTheCrcOfTheSource) {
  // crc32("123456789") is the check value CBF43926: 3421780262 % 50 = 12.
  EXPECT_EQ(split_of("123456789"), Split::Train);
  EXPECT_EQ(split_of(""), Split::Test);               // crc 0
  EXPECT_EQ(split_of("word 106"), Split::Test);       // 24544600
  EXPECT_EQ(split_of("word 44"), Split::Validation);  // 3632537101
}

TEST(Pairs, SelectedSplitsAreAPartition) {
  std::vector<TextPair> pairs;
  for (int i = 0; i < 1000; ++i) pairs.push_back({"word " + std::to_string(i), "x"});
  const size_t test = select_split(pairs, Split::Test).size(),
               valid = select_split(pairs, Split::Validation).size();
  EXPECT_EQ(test + valid + select_split(pairs, Split::Train).size(), pairs.size());
  EXPECT_EQ(test, 17u);
  EXPECT_EQ(valid, 29u);
}

TEST(Pairs, DigestIgnoresOrderAndNoticesEverythingElse) {
  const std::vector<TextPair> pairs = {{"a", "b"}, {"c", "d"}};
  const std::vector<TextPair> turned = {{"c", "d"}, {"a", "b"}};
  const std::vector<TextPair> other = {{"c", "b"}, {"a", "d"}};
  EXPECT_EQ(pairs_digest(pairs), pairs_digest(turned));
  EXPECT_NE(pairs_digest(pairs), pairs_digest(other));
  EXPECT_EQ(pairs_digest({}), "99aa06d3014798d86001c324468d497f");  // XXH3-128 of nothing
}

TEST_F(File, TsvGivesPairs) {
  const std::vector<TextPair> expected = {{"one", "un"}, {"two", "deux é"}};
  EXPECT_EQ(read_tsv(put("\xEF\xBB\xBFone\tun\r\n\ntwo\tdeux é")), expected);
  EXPECT_EQ(read_tsv(put_gzip("one\tun\ntwo\tdeux é\n")), expected);
}

TEST_F(File, TsvErrorsNameTheLine) {
  const std::string three = put("a\tb\nc\td\te\n"), none = put("a\tb\n\nword\n"),
                    latin = put("a\tb\n\xE9t\xE9\tx\n");
  EXPECT_EQ(error_of(ErrorKind::Corrupt, [&] { read_tsv(three); }),
            three + ":2: has 3 tab-separated columns, expected 2 (source and target)");
  EXPECT_EQ(error_of(ErrorKind::Corrupt, [&] { read_tsv(none); }),
            none + ":3: has 1 tab-separated columns, expected 2 (source and target)");
  EXPECT_EQ(error_of(ErrorKind::Corrupt, [&] { read_tsv(latin); }),
            latin + ":2: is not UTF-8 at byte 0 of the line");
  EXPECT_NE(error_of(ErrorKind::IO, [&] { read_tsv("/no/such/file"); }).find("/no/such/file"),
            std::string::npos);
}

TEST_F(File, GzipIsUnpackedWithinBounds) {
  const std::string text(3'000'000, 'z');
  const std::string packed = put_gzip(text);
  EXPECT_EQ(read_gzip_or_plain(packed), text);
  error_of(ErrorKind::ResourceExhausted, [&] { read_gzip_or_plain(packed, 100'000); });
  std::ifstream in(packed, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const std::string cut = put(bytes.substr(0, bytes.size() / 2));
  EXPECT_NE(error_of(ErrorKind::Corrupt, [&] { read_gzip_or_plain(cut); }).find("cut off at byte"),
            std::string::npos);
  EXPECT_EQ(read_gzip_or_plain(put(bytes + bytes)), text + text);  // members in a row
  bytes[bytes.size() - 6] ^= 1;                                    // the checksum
  const std::string damaged = put(bytes);
  EXPECT_NE(error_of(ErrorKind::Corrupt, [&] { read_gzip_or_plain(damaged); }), "no error");
}

TEST(Csv, QuotesLineEndsAndDelimiters) {
  const CsvTable table = parse_csv("id,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n2,\r\n", "t.csv");
  EXPECT_EQ(table.header, (std::vector<std::string>{"id", "text"}));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"1", "a, \"b\"\r\nc"}));
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"2", ""}));
  EXPECT_EQ(table.column("text"), 1u);
  EXPECT_EQ(error_of(ErrorKind::InvalidArgument, [&] { table.column("label"); }),
            "no column 'label'; there are: id, text");

  const CsvTable plain = parse_csv("a;b\n\"\";c", "t.csv", {.delimiter = ';', .header = false});
  EXPECT_TRUE(plain.header.empty());
  EXPECT_EQ(plain.rows, (std::vector<std::vector<std::string>>{{"a", "b"}, {"", "c"}}));
  EXPECT_TRUE(parse_csv("", "t.csv").rows.empty());
}

TEST(Csv, ErrorsNameTheLine) {
  const auto error = [](const char* text) {
    return error_of(ErrorKind::Corrupt, [&] { parse_csv(text, "t.csv"); });
  };
  EXPECT_EQ(error("a,b\n\"x\ny\",z\n1\n"), "t.csv:4: has 1 columns, the first record has 2");
  EXPECT_EQ(error("a\nb\n\"open\nstill"), "t.csv:3: a quote is opened and never closed");
  EXPECT_EQ(error("a\n\"b\"c\n"), "t.csv:2: 'c' follows the closing quote of column 1");
  EXPECT_EQ(error("a\nb\"c\n"), "t.csv:2: a quote within a cell that does not start with one");
  EXPECT_EQ(error("a\n\nb\xFF\n"), "t.csv:3: is not UTF-8 at byte 4");
  error_of(ErrorKind::InvalidArgument, [] { parse_csv("a", "t.csv", {.delimiter = '"'}); });
}

std::string idx(const std::vector<uint32_t>& dims, const std::string& values, char type = 8) {
  std::string out = {0, 0, type, static_cast<char>(dims.size())};
  for (const uint32_t dim : dims)
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(dim >> shift);
  return out + values;
}

TEST(Idx, ReadsDimsAndValues) {
  const IdxArray array = parse_idx(idx({2, 1, 3}, "abcdef"), "x");
  EXPECT_EQ(array.dims, (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(array.values, (std::vector<uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'}));
}

TEST(Idx, ErrorsNameByteAndField) {
  const auto error = [](const std::string& bytes, ErrorKind kind = ErrorKind::Corrupt) {
    return error_of(kind, [&] { parse_idx(bytes, "x"); });
  };
  EXPECT_EQ(error("ab"), "x: byte 0, magic: the file has 2 bytes, the magic number 4");
  EXPECT_EQ(error("PK\x08\x01"), "x: byte 0, magic: is not that of an IDX file (two zero bytes)");
  EXPECT_EQ(error(idx({1}, "aaaa", 13), ErrorKind::Unsupported),
            "x: byte 2, element type: is 13, only unsigned bytes (8) are read");
  EXPECT_EQ(error(idx({}, "")), "x: byte 3, rank: is 0, 1 to 8 are read");
  EXPECT_EQ(error(idx({2, 2}, "abcde")), "x: byte 12, values: the dims ask for 4 bytes, the file has 5");
  EXPECT_EQ(error(idx({2, 2}, "abc")), "x: byte 12, values: the dims ask for 4 bytes, the file has 3");
  EXPECT_EQ(error(idx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "")),
            "x: byte 8, dims: their product overflows 64 bits");
  EXPECT_EQ(error(idx({1, 2, 3}, "").substr(0, 10)), "x: byte 4, dims: the file ends within the 3 dims");
}

TEST_F(File, ImageSetsPairImagesAndLabels) {
  const std::string images = put_gzip(idx({2, 2, 1}, "abcd")), labels = put(idx({2}, std::string("\1\7")));
  const ImageSet set = read_image_set(images, labels);
  EXPECT_EQ(set.count, 2);
  EXPECT_EQ(set.rows, 2);
  EXPECT_EQ(set.columns, 1);
  EXPECT_EQ(set.pixels, (std::vector<uint8_t>{'a', 'b', 'c', 'd'}));
  EXPECT_EQ(set.labels, (std::vector<uint8_t>{1, 7}));
  const std::string three = put(idx({3}, "abc"));
  EXPECT_EQ(error_of(ErrorKind::Corrupt, [&] { read_image_set(images, three); }),
            three + ": byte 4, count: 3 labels for the 2 images of " + images);
  EXPECT_EQ(error_of(ErrorKind::Corrupt, [&] { read_image_set(labels, labels); }),
            labels + ": byte 3, rank: is 1, images have 3");
}

}  // namespace
}  // namespace fovea::data
