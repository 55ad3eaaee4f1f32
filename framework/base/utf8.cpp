#include "framework/base/utf8.h"

namespace fovea {
namespace {

struct Range {
  char32_t first, last;
};
// Unicode 15: blocks of combining and invisible characters, and of those of class Wide or Fullwidth.
constexpr Range kZeroWidth[] = {{0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},    {0x610, 0x61A},
                                {0x64B, 0x65F},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},  {0x200B, 0x200F},
                                {0x202A, 0x202E}, {0x2060, 0x2064}, {0x20D0, 0x20FF},  {0xFE00, 0xFE0F},
                                {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}};
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},  {0x3400, 0x4DBF},
                           {0x4E00, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},  {0xF900, 0xFAFF},
                           {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},  {0x1F300, 0x1F64F},
                           {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

template <size_t N>
bool within(char32_t c, const Range (&ranges)[N]) {
  for (const Range& r : ranges)
    if (c >= r.first && c <= r.last) return true;
  return false;
}

int width_of(char32_t c) {
  if (c < 0x300) return 1;
  return within(c, kZeroWidth) ? 0 : within(c, kWide) ? 2 : 1;
}

}  // namespace

char32_t next_code_point(std::string_view& rest) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(rest[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  char32_t c = length == 1 ? lead : lead & (0x7F >> length);
  bool valid = length >= 1 && length <= rest.size();
  for (size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xC0) == 0x80;
    c = (c << 6) | (byte(i) & 0x3F);
  }
  // Longer forms than needed, halves of surrogate pairs, and values beyond Unicode are no characters.
  if (valid && ((length == 3 && (c < 0x800 || (c >= 0xD800 && c < 0xE000))) ||
                (length == 4 && (c < 0x10000 || c > 0x10FFFF))))
    valid = false;
  rest.remove_prefix(valid ? length : 1);
  return valid ? c : U'\uFFFD';
}

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) width += width_of(next_code_point(text));
  return width;
}

std::string_view clip_to_width(std::string_view text, int columns) {
  std::string_view rest = text;
  for (int width = 0; !rest.empty();) {
    std::string_view after = rest;
    width += width_of(next_code_point(after));
    if (width > columns) break;
    rest = after;
  }
  return text.substr(0, text.size() - rest.size());
}

std::string printable_line(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view before = text;
    const char32_t c = next_code_point(text);
    if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == U'\uFFFD')
      out += "\xEF\xBF\xBD";
    else
      out += before.substr(0, before.size() - text.size());
  }
  return out;
}

}  // namespace fovea
