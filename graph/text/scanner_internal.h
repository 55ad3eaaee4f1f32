// Characters of the text form, and errors that say where they lie.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "framework/base/error.h"

namespace fovea::text {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// Position of the next character that is no space and no comment.
  size_t position() {
    skip();
    return at_;
  }
  bool done() { return position() == text_.size(); }
  char peek() { return done() ? '\0' : text_[at_]; }

  /// Takes `token` if it comes next; a word only as a whole.
  bool take(std::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) return false;
    const size_t end = at_ + token.size();
    if (is_word(token.back()) && end < text_.size() && is_word(text_[end])) return false;
    at_ = end;
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) error(position(), "expected '" + std::string(token) + "', found " + found());
  }

  /// The longest run of characters that `accept` takes; may be empty.
  template <class Accept>
  std::string_view run(Accept&& accept) {
    skip();
    const size_t start = at_;
    while (at_ < text_.size() && accept(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::string_view word(const char* what) {
    const std::string_view w = run(is_word);
    if (w.empty()) error(at_, std::string("expected ") + what + ", found " + found());
    return w;
  }
  /// Everything up to `end`, which is taken, too.
  std::string_view until(char end) {
    const size_t start = at_, stop = text_.find(end, at_);
    if (stop == std::string_view::npos) error(start, std::string("there is no '") + end + "' behind this");
    at_ = stop + 1;
    return text_.substr(start, stop - start);
  }
  /// "text" with \", \\ and \x0a.
  std::string quoted() {
    expect("\"");
    const size_t start = at_ - 1;
    std::string out;
    for (;;) {
      if (at_ == text_.size()) error(start, "the quotes are not closed");
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      const char escaped = at_ < text_.size() ? text_[at_++] : '\0';
      uint8_t byte = 0;
      if (escaped == '"' || escaped == '\\') {
        out += escaped;
      } else if (const char* hex = text_.data() + at_;
                 escaped == 'x' && text_.size() - at_ >= 2 &&
                 std::from_chars(hex, hex + 2, byte, 16).ptr == hex + 2) {
        out += static_cast<char>(byte);
        at_ += 2;
      } else {
        error(at_ - 1, "an unknown escape: there are \\\", \\\\ and \\x with two hexadecimal digits");
      }
    }
  }
  /// Calls item() for each of "item, item end"; the beginning is taken already.
  template <class F>
  void items(std::string_view end, F&& item) {
    if (take(end)) return;
    do {
      item();
    } while (take(","));
    expect(end);
  }
  template <class T>
  T number(const char* what) {
    const size_t start = position();
    return to_number<T>(run([](char c) { return is_word(c) || c == '-' || c == '+'; }), start, what);
  }
  template <class T>
  T to_number(std::string_view text, size_t at, const char* what) const {
    T value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size())
      error(at, std::string("expected ") + what + ", found '" + std::string(text.substr(0, 80)) + "'");
    return value;
  }

  /// InvalidArgument "text:line:column: message".
  [[noreturn]] void error(size_t at, const std::string& message) const {
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at && i < text_.size(); ++i)
      if (text_[i] == '\n') ++line, start = i + 1;
    invalid("text:" + std::to_string(line) + ":" + std::to_string(at - start + 1) + ": " + message);
  }
  std::string found() const {
    if (at_ >= text_.size()) return "the end";
    return "'" + std::string(text_.substr(at_, text_.substr(at_, 24).find('\n'))).substr(0, 24) + "'";
  }

  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  }

 private:
  void skip() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '/' && text_.substr(at_, 2) == "//")
        at_ = std::min(text_.find('\n', at_), text_.size() - 1);
      else if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
        return;
    }
  }
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace fovea::text
