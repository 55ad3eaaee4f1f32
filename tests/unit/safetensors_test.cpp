// safetensors in and out; damaged files give typed errors.
#include "frontends/import/safetensors.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "framework/base/file.h"
#include "tests/unit/module_test_util.h"

using namespace fovea;
using namespace fovea::test;

namespace {

using Tensors = std::vector<std::pair<std::string, Array>>;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string stored(const std::string& bytes) const {
    std::filesystem::remove(path("x.safetensors"));  // writing over a file can wait for the disk
    std::ofstream(path("x.safetensors"), std::ios::binary) << bytes;
    return path("x.safetensors");
  }
  /// A file of this header and so many bytes of data.
  std::string file_of(const std::string& header, size_t data) const {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i));
    return stored(bytes + header + std::string(data, '\1'));
  }

 private:
  std::string folder_ = testing::TempDir() + "fovea_safetensors_" + std::to_string(getpid());
};

TEST_F(Safetensors, AllTypesComeBack) {
  std::mt19937 random(2);
  Tensors tensors;
  for (int t = 0; t < kDTypeCount; ++t)
    tensors.emplace_back("t" + std::to_string(t), random_bytes(static_cast<DType>(t), {2, 3}, random));
  tensors.emplace_back("scalar", Array::scalar(1.5));
  tensors.emplace_back("empty", Array(DType::f32, {0, 4}));
  tensors.emplace_back("strided \"\xCE\xBC\"", random_bytes(DType::i16, {4, 5}, random).transpose(0, 1));
  save_safetensors(path("a"), tensors, {{"format", "pt"}});
  std::map<std::string, std::string> metadata;
  const Tensors back = load_safetensors(path("a"), &metadata);
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, array] : tensors) {
    const auto at =
        std::find_if(back.begin(), back.end(), [&, n = name](const auto& t) { return t.first == n; });
    ASSERT_NE(at, back.end()) << name;
    const Array x = array.contiguous(), &y = at->second;
    ASSERT_EQ(x.dtype(), y.dtype());
    ASSERT_EQ(x.shape(), y.shape());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.nbytes())), 0) << name;
  }
}

// Written by the format's own Python package: x = [[1, 2, 3]] f32, flag = [True, False] bool, {"format":
// "pt"}.
TEST_F(Safetensors, AFileOfAnotherWriterIsRead) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]},"flag":{"dtype":"BOOL","shape":[2],"data_offsets":[12,14]}})";
  std::string bytes;
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(padded.size() >> (8 * i));
  bytes += padded + std::string("\0\0\x80\x3F\0\0\0\x40\0\0\x40\x40\1\0", 14);
  const Tensors back = load_safetensors(stored(bytes));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].first, "x");
  EXPECT_EQ(back[0].second.to_vector<double>(), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(back[1].second.to_vector<double>(), (std::vector<double>{1, 0}));
}

TEST_F(Safetensors, DataIsAlignedToItsElements) {
  save_safetensors(path("a"), {{"bytes", Array::zeros(DType::u8, {3})},
                               {"doubles", Array::zeros(DType::f64, {2})},
                               {"halves", Array::zeros(DType::f16, {1})}});
  const std::string bytes = read_file(path("a"));
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0);
  EXPECT_EQ(load_safetensors(path("a"))[0].first, "doubles");
}

TEST_F(Safetensors, BadFilesAreTypedErrors) {
  const struct {
    std::string header;
    size_t data;
    const char* message;
  } cases[] = {
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "bytes 0 to 8 of 7"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "the data ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "takes 8 bytes, the file gives it 4"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "bytes 8 to 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "behind a hole"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "inside the one before"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
       "overflows 64 bits"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}})", 0, "fraction"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", 0, "negative number -1"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}})", 0, "fraction 1.5"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 0, "lacks one of"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "holds 1 numbers"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "more than 2"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "given twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "given twice"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "a list where none belongs"},
      {R"({"a":{"dtype":"F32","shape":{"x":1},"data_offsets":[0,4]}})", 4, "an object where none belongs"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "a number where none belongs"},
      {R"({"a":{"dtype":null,"shape":[1],"data_offsets":[0,4]}})", 4, "a null"},
      {R"({"a":{"extra":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "unknown field 'extra'"},
      {R"({"a":[]})", 0, "a list where none belongs"},
      {R"({"__metadata__":{"a":1}})", 0, "a number where none belongs"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4, "is no JSON"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}})", 4, "is no JSON"},
      {R"([])", 0, "does not begin with '{'"},
      {"", 0, "does not begin with '{'"},
  };
  for (const auto& c : cases) {
    const std::string message =
        error_of(ErrorKind::Corrupt, [&] { load_safetensors(file_of(c.header, c.data)); });
    EXPECT_NE(message.find(c.message), std::string::npos) << c.header << "\n" << message;
    EXPECT_NE(message.find("x.safetensors"), std::string::npos) << message;
  }
  const std::string other = error_of(ErrorKind::Unsupported, [&] {
    load_safetensors(file_of(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1));
  });
  EXPECT_NE(other.find("'F8_E4M3'"), std::string::npos) << other;
  const std::string huge =
      error_of(ErrorKind::Corrupt, [&] { load_safetensors(stored(std::string(8, '\xFF') + "{}")); });
  EXPECT_NE(huge.find("declared 18446744073709551615"), std::string::npos) << huge;
  error_of(ErrorKind::Corrupt, [&] { load_safetensors(file_of("{\"a\":" + std::string(100000, '['), 0)); });
}

TEST_F(Safetensors, TruncatedAndDamagedFilesNeverDoMoreThanThrow) {
  save_safetensors(path("a"),
                   {{"a", Array::full(DType::f32, {2, 2}, 1)}, {"b", Array::zeros(DType::u8, {3})}},
                   {{"k", "v"}});
  const std::string whole = read_file(path("a"));
  for (size_t n = 0; n < whole.size(); ++n)
    error_of(ErrorKind::Corrupt, [&] { load_safetensors(stored(whole.substr(0, n))); });
  const size_t header = whole.size() - 19;
  int refused = 0;
  for (size_t i = 0; i < header; ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      try {
        load_safetensors(stored(damaged));
      } catch (const Error&) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 500);
}

TEST_F(Safetensors, WhatCannotBeWrittenIsRefusedAndNothingIsLeft) {
  const Array x = Array::scalar(1.0f);
  for (const Tensors& bad : {Tensors{{"a", x}, {"a", x}}, Tensors{{"__metadata__", x}},
                             Tensors{{"a", Array()}}, Tensors{{"\xFF", x}}})
    error_of(ErrorKind::InvalidArgument, [&] { save_safetensors(path("a"), bad); });
  EXPECT_FALSE(std::filesystem::exists(path("a")));
}

}  // namespace
