// Parallel text: pairs of a source and a target sentence, how they are split, and plain files that hold text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// One sentence and its translation, both UTF-8.
struct TextPair {
  std::string source, target;
  bool operator==(const TextPair&) const = default;
};

/// Which part of a corpus a pair belongs to.
enum class Split { Train, Validation, Test };

/// crc32(source) % 50: 0 is test, 1 validation, the rest training. A source keeps its place when the corpus
/// grows.
Split split_of(std::string_view source);

/// The pairs of one part, in their order.
std::vector<TextPair> select_split(std::span<const TextPair> pairs, Split split);

/// 32 hexadecimal digits (XXH3, 128 bits) over the byte-wise sorted lines "source TAB target LF": equal for
/// equal sets of pairs, whatever their order.
std::string pairs_digest(std::span<const TextPair> pairs);

/// Lines of a UTF-8 text file, plain or gzip, without their ends (LF or CR LF); a byte order mark is dropped.
/// IO, or Corrupt with path:line.
std::vector<std::string> read_lines(const std::string& path);

/// A file of two columns with a tab between them, one pair per line; empty lines are skipped. Errors give
/// path:line.
std::vector<TextPair> read_tsv(const std::string& path);

}  // namespace fovea::data
