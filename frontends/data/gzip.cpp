#include "frontends/data/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "framework/base/error.h"
#include "framework/base/file.h"

namespace fovea::data {
namespace {

constexpr int64_t kChunk = 1 << 20;

[[noreturn]] void too_large(const std::string& path, int64_t max_bytes) {
  fail(ErrorKind::ResourceExhausted,
       path + ": holds more than the " + std::to_string(max_bytes) + " bytes that are read at most");
}

struct Inflater {
  z_stream stream{};
  ~Inflater() { inflateEnd(&stream); }
};

std::string inflate_all(const std::string& path, const std::string& packed, int64_t max_bytes) {
  Inflater z;
  if (inflateInit2(&z.stream, 15 + 16) != Z_OK)
    fail(ErrorKind::ResourceExhausted, path + ": no memory to unpack it");
  std::string out;
  size_t taken = 0;
  bool done = false;  // a file may be several gzip members in a row
  while (!done || taken < packed.size()) {
    if (done && inflateReset(&z.stream) != Z_OK) break;
    const size_t begin = out.size();
    if (static_cast<int64_t>(begin) >= max_bytes) too_large(path, max_bytes);
    const size_t give = std::min<size_t>(packed.size() - taken, kChunk);
    const size_t room = std::min<size_t>(kChunk, max_bytes - begin);
    out.resize(begin + room);
    z.stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + taken));
    z.stream.avail_in = static_cast<uInt>(give);
    z.stream.next_out = reinterpret_cast<Bytef*>(out.data() + begin);
    z.stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&z.stream, Z_NO_FLUSH);
    taken += give - z.stream.avail_in;
    out.resize(out.size() - z.stream.avail_out);
    done = status == Z_STREAM_END;
    if (!done && status != Z_OK)  // with room to write, Z_BUF_ERROR can only mean that input is missing
      fail(ErrorKind::Corrupt, path + ": gzip data is damaged or cut off at byte " + std::to_string(taken) +
                                   " of " + std::to_string(packed.size()));
  }
  return out;
}

}  // namespace

std::string read_gzip_or_plain(const std::string& path, int64_t max_bytes) {
  std::string bytes = read_file(path, max_bytes);
  if (bytes.size() < 2 || static_cast<unsigned char>(bytes[0]) != 0x1F ||
      static_cast<unsigned char>(bytes[1]) != 0x8B)
    return bytes;
  return inflate_all(path, bytes, max_bytes);
}

}  // namespace fovea::data
