// UTF-8 text and the two Unicode classes that text rules need: white space and word characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

/// Byte offset of the first sequence that is not well-formed UTF-8 (overlong forms, surrogates and values
/// over U+10FFFF included), or -1 when all of `text` is well formed.
int64_t find_bad_utf8(std::string_view text);

/// The code point at byte `at` of well-formed UTF-8; moves `at` behind it. Malformed bytes come back as
/// U+FFFD, one by one.
char32_t next_code_point(std::string_view text, size_t& at);

/// All code points of `text`; Corrupt with the byte offset when it is not well-formed UTF-8.
std::vector<uint32_t> code_points(std::string_view text);

/// White space as Python's str.split sees it: the Unicode bidirectional classes WS, B, S and category Zs.
bool is_space(char32_t c);

/// Word character as \w of a regular expression: general categories L and N (Unicode 14), and the underscore.
bool is_word(char32_t c);

/// `text` without white space at both ends; at the end only.
std::string_view strip(std::string_view text);
std::string_view strip_end(std::string_view text);

/// The pieces of `text` between runs of white space; none of them is empty.
std::vector<std::string_view> split_words(std::string_view text);

}  // namespace fovea::data
