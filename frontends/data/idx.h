// IDX files, the format of MNIST and its kin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// An n-dimensional array of bytes, row-major.
struct IdxArray {
  std::vector<int64_t> dims;
  std::vector<uint8_t> values;
};

/// Grey images and the class of each.
struct ImageSet {
  int64_t count = 0, rows = 0, columns = 0;
  std::vector<uint8_t> pixels;  ///< [count, rows, columns]
  std::vector<uint8_t> labels;  ///< [count]
};

/// Reads an array of unsigned bytes. Corrupt with path, byte and field for a wrong magic number or when the
/// dims do not account for every byte; Unsupported for other element types.
IdxArray parse_idx(std::string_view bytes, const std::string& path);

/// parse_idx of a file, plain or gzip.
IdxArray read_idx(const std::string& path);

/// An image file (rank 3) and its label file (rank 1), which must be of one count.
ImageSet read_image_set(const std::string& images_path, const std::string& labels_path);

}  // namespace fovea::data
