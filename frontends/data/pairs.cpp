#include "frontends/data/pairs.h"

#include <xxhash.h>
#include <zlib.h>

#include <algorithm>

#include "framework/base/error.h"
#include "frontends/data/gzip.h"
#include "frontends/data/utf8.h"

namespace fovea::data {

Split split_of(std::string_view source) {
  uLong crc = crc32_z(0, nullptr, 0);
  crc = crc32_z(crc, reinterpret_cast<const Bytef*>(source.data()), source.size());
  const uLong part = crc % 50;
  return part == 0 ? Split::Test : part == 1 ? Split::Validation : Split::Train;
}

std::vector<TextPair> select_split(std::span<const TextPair> pairs, Split split) {
  std::vector<TextPair> out;
  for (const TextPair& pair : pairs)
    if (split_of(pair.source) == split) out.push_back(pair);
  return out;
}

std::string pairs_digest(std::span<const TextPair> pairs) {
  std::vector<std::string> lines;
  lines.reserve(pairs.size());
  for (const TextPair& pair : pairs) lines.push_back(pair.source + '\t' + pair.target + '\n');
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line;

  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits(all.data(), all.size()));
  std::string out;
  for (const unsigned char byte : digest.digest)
    for (const int shift : {4, 0}) out += "0123456789abcdef"[byte >> shift & 15];
  return out;
}

std::vector<std::string> read_lines(const std::string& path) {
  const std::string bytes = read_gzip_or_plain(path);
  std::string_view rest = bytes;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  std::vector<std::string> lines;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (const int64_t bad = find_bad_utf8(line); bad >= 0)
      fail(ErrorKind::Corrupt, path + ":" + std::to_string(lines.size() + 1) + ": is not UTF-8 at byte " +
                                   std::to_string(bad) + " of the line");
    lines.emplace_back(line);
  }
  return lines;
}

std::vector<TextPair> read_tsv(const std::string& path) {
  std::vector<TextPair> pairs;
  int64_t number = 0;
  for (const std::string& line : read_lines(path)) {
    ++number;
    if (line.empty()) continue;
    const auto tabs = std::count(line.begin(), line.end(), '\t');
    if (tabs != 1)
      fail(ErrorKind::Corrupt, path + ":" + std::to_string(number) + ": has " + std::to_string(tabs + 1) +
                                   " tab-separated columns, expected 2 (source and target)");
    const size_t tab = line.find('\t');
    pairs.push_back({line.substr(0, tab), line.substr(tab + 1)});
  }
  return pairs;
}

}  // namespace fovea::data
