#include "frontends/data/sentencepiece_check_internal.h"

#include <cstdint>

namespace fovea::data {
namespace {

// Field numbers of ModelProto and, within it, NormalizerSpec.
constexpr uint64_t kNormalizer = 3, kDenormalizer = 5, kCharacterMap = 2;

struct Field {
  uint64_t number = 0;
  std::string_view payload;  // of length-delimited fields, else empty
};

// Walks over the fields of one Protobuf message without descending.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  // False at the end and at the first thing that is no field; broken() tells which.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    uint64_t tag, length = 0;
    broken_ = true;
    if (!varint(tag)) return false;
    switch (tag & 7) {
      case 0:
        if (!varint(length)) return false;
        length = 0;
        break;
      case 1:
        length = 8;
        break;
      case 2:
        if (!varint(length)) return false;
        break;
      case 5:
        length = 4;
        break;
      default:
        return false;  // groups have no place in these messages
    }
    if (length > rest_.size()) return false;
    field = {tag >> 3, (tag & 7) == 2 ? rest_.substr(0, length) : std::string_view()};
    rest_.remove_prefix(length);
    broken_ = false;
    return true;
  }
  bool broken() const { return broken_; }

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  std::string_view rest_;
  bool broken_ = false;
};

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

// The map: 4 bytes for the size of the trie, the trie (a double array of 32-bit units, see below), NUL-ended
// texts.
//
//   unit   31         30 ........ 10   9       8          7 .... 0
//          no label   offset           shift   has text   label
//
// From the unit at i the character c leads to i ^ offset ^ c, and its text begins at the value of unit i ^
// offset.
std::string check_character_map(std::string_view map) {
  if (map.empty()) return "";
  if (map.size() <= 4)
    return "the character map has " + std::to_string(map.size()) + " bytes, its size field alone takes 4";
  const uint32_t trie_bytes = little_endian(map, 0);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= map.size() - 4)
    return "a trie of " + std::to_string(trie_bytes) + " bytes does not fit a character map of " +
           std::to_string(map.size());
  const std::string_view trie = map.substr(4, trie_bytes), texts = map.substr(4 + trie_bytes);
  if (texts.back() != '\0') return "the last text of the character map has no end";
  const uint32_t units = trie_bytes / 4;
  for (uint32_t i = 0; i < units; ++i) {
    const uint32_t unit = little_endian(trie, 4 * size_t{i});
    if (i > 0 && unit >> 31 != 0) continue;  // holds a value, no character leads here
    const uint32_t target = i ^ (unit >> 10 << ((unit & 1u << 9) >> 6));
    if ((target | 0xFF) >= units)
      return "unit " + std::to_string(i) + " of the character map leads outside its " + std::to_string(units);
    const bool has_text = (unit >> 8 & 1) != 0;
    if (has_text && (little_endian(trie, 4 * size_t{target}) & 0x7FFFFFFF) >= texts.size())
      return "unit " + std::to_string(i) + " of the character map points beyond its " +
             std::to_string(texts.size()) + " bytes of text";
  }
  return "";
}

}  // namespace

std::string check_sentencepiece_model(std::string_view model) {
  FieldReader fields(model);
  for (Field field; fields.next(field);) {
    if (field.number != kNormalizer && field.number != kDenormalizer) continue;
    FieldReader parts(field.payload);
    for (Field part; parts.next(part);) {
      if (part.number != kCharacterMap) continue;
      const std::string wrong = check_character_map(part.payload);
      if (!wrong.empty()) return "byte " + std::to_string(part.payload.data() - model.data()) + ": " + wrong;
    }
    if (parts.broken())
      return "byte " + std::to_string(field.payload.data() - model.data()) + ": the normalizer is no message";
  }
  return fields.broken() ? "it is not a sequence of fields" : "";
}

}  // namespace fovea::data
