// .npy files: what NumPy writes is read, what is written reads back, damage is a typed error.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "frontends/import/npy.h"

namespace fovea {
namespace {

class Npy : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  // A file of version 1 with this header.
  static std::string file(std::string header, const std::string& data) {
    header += '\n';
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header + data;
  }
  ErrorKind error() const {
    try {
      load_npy(path_);
    } catch (const Error& e) {
      return e.kind();
    }
    return ErrorKind::Cancelled;
  }
  std::string path_ = testing::TempDir() + "fovea_" + std::to_string(getpid()) + ".npy";
};

TEST_F(Npy, ReadsBackWhatItWrote) {
  for (DType t : {DType::f32, DType::f64, DType::f16, DType::i64, DType::i32, DType::i16, DType::i8,
                  DType::u8, DType::boolean})
    for (const Dims& shape : {Dims{}, Dims{3}, Dims{2, 3, 4}, Dims{0, 5}}) {
      Array a(t, shape);
      for (int64_t i = 0; i < a.size(); ++i) a.set_flat(i, static_cast<double>(i % 2));
      save_npy(path_, a);
      EXPECT_EQ(std::filesystem::file_size(path_) % 64, static_cast<size_t>(a.nbytes()) % 64);
      const Array b = load_npy(path_);
      EXPECT_EQ(b.dtype(), t);
      EXPECT_EQ(b.shape(), shape);
      EXPECT_EQ(b.to_vector<double>(), a.to_vector<double>());
    }
}

TEST_F(Npy, ReadsColumnsFirst) {
  write(file("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }",
             std::string("\1\0\4\0\2\0\5\0\3\0\6\0", 12)));
  const Array a = load_npy(path_);
  EXPECT_EQ(a.shape(), (Dims{2, 3}));
  EXPECT_EQ(a.to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
}

TEST_F(Npy, RefusesWhatIsNoArray) {
  write("no such file");
  EXPECT_EQ(error(), ErrorKind::Corrupt);
  write(file("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", "0123"));
  EXPECT_EQ(error(), ErrorKind::Corrupt);
  write(file("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }", "0123"));
  EXPECT_EQ(error(), ErrorKind::InvalidArgument);
  write(file("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "0123"));
  EXPECT_EQ(error(), ErrorKind::Corrupt);
  write(file("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "0123"));
  EXPECT_EQ(error(), ErrorKind::Unsupported);
  write(file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "0123"));
  EXPECT_EQ(error(), ErrorKind::Unsupported);
  write(file("{'descr': '<f4'", "0123"));
  EXPECT_EQ(error(), ErrorKind::Corrupt);
  EXPECT_EQ(file("", "").substr(0, 6), "\x93NUMPY");
}

}  // namespace
}  // namespace fovea
