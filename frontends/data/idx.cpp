#include "frontends/data/idx.h"

#include "framework/base/error.h"
#include "frontends/data/gzip.h"

namespace fovea::data {
namespace {

constexpr unsigned kUnsignedByte = 0x08;
constexpr unsigned kMaxRank = 8;

unsigned byte_at(std::string_view bytes, size_t at) { return static_cast<unsigned char>(bytes[at]); }

[[noreturn]] void corrupt(const std::string& path, size_t at, const char* field, const std::string& what) {
  fail(ErrorKind::Corrupt, path + ": byte " + std::to_string(at) + ", " + field + ": " + what);
}

void expect_rank(const IdxArray& array, size_t rank, const std::string& path, const char* content) {
  if (array.dims.size() != rank)
    corrupt(path, 3, "rank",
            "is " + std::to_string(array.dims.size()) + ", " + content + " have " + std::to_string(rank));
}

}  // namespace

IdxArray parse_idx(std::string_view bytes, const std::string& path) {
  if (bytes.size() < 4)
    corrupt(path, 0, "magic", "the file has " + std::to_string(bytes.size()) + " bytes, the magic number 4");
  if (byte_at(bytes, 0) != 0 || byte_at(bytes, 1) != 0)
    corrupt(path, 0, "magic", "is not that of an IDX file (two zero bytes)");
  if (byte_at(bytes, 2) != kUnsignedByte)
    fail(ErrorKind::Unsupported, path + ": byte 2, element type: is " + std::to_string(byte_at(bytes, 2)) +
                                     ", only unsigned bytes (8) are read");
  const size_t rank = byte_at(bytes, 3);
  if (rank == 0 || rank > kMaxRank)
    corrupt(path, 3, "rank", "is " + std::to_string(rank) + ", 1 to 8 are read");
  const size_t data = 4 + 4 * rank;
  if (bytes.size() < data)
    corrupt(path, 4, "dims", "the file ends within the " + std::to_string(rank) + " dims");

  IdxArray array;
  int64_t count = 1;
  for (size_t at = 4; at < data; at += 4) {
    int64_t dim = 0;
    for (size_t i = 0; i < 4; ++i) dim = dim << 8 | byte_at(bytes, at + i);
    array.dims.push_back(dim);
    if (__builtin_mul_overflow(count, dim, &count))
      corrupt(path, at, "dims", "their product overflows 64 bits");
  }
  if (count != static_cast<int64_t>(bytes.size() - data))
    corrupt(path, data, "values",
            "the dims ask for " + std::to_string(count) + " bytes, the file has " +
                std::to_string(bytes.size() - data));
  array.values.assign(bytes.begin() + data, bytes.end());
  return array;
}

IdxArray read_idx(const std::string& path) { return parse_idx(read_gzip_or_plain(path), path); }

ImageSet read_image_set(const std::string& images_path, const std::string& labels_path) {
  IdxArray images = read_idx(images_path);
  IdxArray labels = read_idx(labels_path);
  expect_rank(images, 3, images_path, "images");
  expect_rank(labels, 1, labels_path, "labels");
  if (images.dims[0] != labels.dims[0])
    corrupt(labels_path, 4, "count",
            std::to_string(labels.dims[0]) + " labels for the " + std::to_string(images.dims[0]) +
                " images of " + images_path);
  return {images.dims[0], images.dims[1], images.dims[2], std::move(images.values), std::move(labels.values)};
}

}  // namespace fovea::data
