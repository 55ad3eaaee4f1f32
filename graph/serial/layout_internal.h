// The fixed header of a .fovea file, and what the sources of this folder share.
//
//   0   8  magic
//   8   2  major version        10  2  minor version
//   12  4  zero
//   16  8  bytes of the graph   24  8  bytes of the file
//   32 16  zero
//   48 16  digest of bytes 0..47 and the graph
//   64     graph: a fovea.file.Model
//   ...    zeros to a multiple of 64, then the raw part: tensors and metadata, each at a multiple of 64
//
// All numbers are little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "framework/base/digest.h"
#include "framework/base/error.h"

namespace fovea::serial {

inline constexpr std::string_view kMagic(
    "\x89"
    "FOVEA\r\n",
    8);  // not text, and broken by programs that treat it as text
inline constexpr int kFormatMajor = 1, kFormatMinor = 0;
inline constexpr int64_t kHeaderBytes = 64, kSignedHeaderBytes = 48, kAlignment = 64;
/// What Protobuf can hold in one message.
inline constexpr int64_t kMaxGraphBytes = (int64_t{1} << 31) - 1;

struct Header {
  int major = kFormatMajor, minor = kFormatMinor;
  int64_t graph_bytes = 0, file_bytes = 0;

  int64_t raw_start() const {
    return (kHeaderBytes + graph_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
};

/// The 64 bytes of the header of this graph.
std::string write_header(const Header& header, std::string_view graph);

/// `"path": field at offset 12: what`, thrown as `kind`.
[[noreturn]] inline void fail_at(ErrorKind kind, const std::string& path, int64_t offset,
                                 std::string_view field, const std::string& what) {
  fail(kind,
       "\"" + path + "\": " + std::string(field) + " at offset " + std::to_string(offset) + ": " + what);
}

}  // namespace fovea::serial
