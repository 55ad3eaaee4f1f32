#include "frontends/data/utf8.h"

#include "framework/base/error.h"

namespace fovea::data {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// Length of the sequence at `at` and its code point; length 0 when it is not well formed.
int decode_one(std::string_view text, size_t at, char32_t& out) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) {
    out = first;
    return 1;
  }
  const int length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() - at < static_cast<size_t>(length)) return 0;
  char32_t code = first & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    const unsigned next = byte(at + i);
    if ((next & 0xC0) != 0x80) return 0;
    code = code << 6 | (next & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kSmallest[length] || code > 0x10FFFF || surrogate) return 0;
  out = code;
  return length;
}

}  // namespace

int64_t find_bad_utf8(std::string_view text) {
  char32_t code;
  for (size_t at = 0; at < text.size();) {
    const int length = decode_one(text, at, code);
    if (length == 0) return static_cast<int64_t>(at);
    at += length;
  }
  return -1;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  char32_t code;
  const int length = decode_one(text, at, code);
  at += length == 0 ? 1 : length;
  return length == 0 ? kReplacement : code;
}

std::vector<uint32_t> code_points(std::string_view text) {
  std::vector<uint32_t> out;
  out.reserve(text.size());
  char32_t code;
  for (size_t at = 0; at < text.size();) {
    const int length = decode_one(text, at, code);
    if (length == 0) fail(ErrorKind::Corrupt, "text is not UTF-8 at byte " + std::to_string(at));
    out.push_back(code);
    at += length;
  }
  return out;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip_end(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();)
    if (!is_space(next_code_point(text, at))) end = at;
  return text.substr(0, end);
}

std::string_view strip(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!is_space(next_code_point(text, at))) return strip_end(text.substr(begin));
  }
  return {};
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (!is_space(next_code_point(text, at))) continue;
    if (here > begin) words.push_back(text.substr(begin, here - begin));
    begin = at;
  }
  if (begin < text.size()) words.push_back(text.substr(begin));
  return words;
}

}  // namespace fovea::data
