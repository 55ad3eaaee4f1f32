// UTF-8 text: decoding that never fails, and the width of text on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace fovea {

/// Takes the first code point off `rest` (not empty). A byte that starts no valid sequence gives U+FFFD.
char32_t next_code_point(std::string_view& rest);

/// Columns that `text` takes on a terminal: 2 for wide East Asian characters and emoji, 0 for combining
/// marks.
int display_width(std::string_view text);

/// The longest beginning of `text` that takes at most `columns` columns.
std::string_view clip_to_width(std::string_view text, int columns);

/// `text` with control characters and invalid bytes replaced by U+FFFD, so that it is safe to print on one
/// line.
std::string printable_line(std::string_view text);

}  // namespace fovea
