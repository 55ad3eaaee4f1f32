#include "frontends/data/plural_rule_internal.h"

#include <algorithm>
#include <vector>

namespace fovea::data {
namespace {

constexpr size_t kMaxLength = 1000;  // bytes; also bounds the recursion below
constexpr int kMaxDepth = 20;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c < 0;
}

// Length of the token at the front of `text`, 0 when there is none.
size_t token_length(std::string_view text) {
  if (is_digit(text[0]) || text[0] == 'n') {
    size_t end = 1;
    while (text[0] != 'n' && end < text.size() && is_digit(text[end])) ++end;
    return end < text.size() && is_name(text[end]) ? 0 : end;
  }
  for (const std::string_view op : {"<=", ">=", "==", "!=", "&&", "||"})
    if (text.starts_with(op)) return 2;
  return std::string_view("()-*/%+?:><!").find(text[0]) != std::string_view::npos ? 1 : 0;
}

// How tightly a binary operator binds; 0 for everything else.
int binding(std::string_view op) {
  if (op == "||") return 1;
  if (op == "&&") return 2;
  if (op == "==" || op == "!=") return 3;
  if (op == "<" || op == ">" || op == "<=" || op == ">=") return 4;
  if (op == "+" || op == "-") return 5;
  if (op == "*" || op == "/" || op == "%") return 6;
  return 0;
}

class RuleParser {
 public:
  explicit RuleParser(std::vector<std::string_view> tokens) : tokens_(std::move(tokens)) {}

  std::string check() {
    const int depth = expression(-1);
    if (error_.empty() && at_ < tokens_.size()) unexpected();
    if (error_.empty() && depth > kMaxDepth) error_ = "is nested more than 20 deep";
    return error_;
  }

 private:
  std::string_view peek() const { return at_ < tokens_.size() ? tokens_[at_] : std::string_view(); }
  bool take(std::string_view token) { return peek() == token ? (++at_, true) : false; }
  void unexpected() {
    if (error_.empty())
      error_ = peek().empty() ? "ends too early" : "has an unexpected '" + std::string(peek()) + "'";
  }

  int operand(int level) {
    while (peek() == "!") {
      if (level >= 4) return unexpected(), 0;  // "a == !b" has no meaning in the rule's grammar
      ++at_;
    }
    if (take("(")) {
      if (++open_ > kMaxDepth) return error_ = "is nested more than 20 deep", 0;
      const int depth = expression(-1);
      --open_;
      if (error_.empty() && !take(")")) unexpected();
      return depth + 1;
    }
    const std::string_view token = peek();
    if (token == "n" || (!token.empty() && is_digit(token[0])))
      ++at_;
    else
      unexpected();
    return 0;
  }

  // Returns how deep the expression nests once comparisons in a row and inner choices are put in parentheses.
  int expression(int level) {
    int depth = operand(level);
    int last = 100;
    while (error_.empty()) {
      const int tight = binding(peek());
      if (tight == 0 || tight < level) break;
      ++at_;
      if ((tight == 3 || tight == 4) && (last == 3 || last == 4)) ++depth;
      depth = std::max(depth, expression(tight + 1));
      last = tight;
    }
    if (last == 4 && level == 4) ++depth;
    if (error_.empty() && level <= 0 && take("?")) {
      depth = std::max(depth, expression(0));
      if (error_.empty() && !take(":")) unexpected();
      if (error_.empty()) depth = std::max(depth, expression(-1));
      if (level == 0) ++depth;
    }
    return depth;
  }

  std::vector<std::string_view> tokens_;
  size_t at_ = 0;
  int open_ = 0;
  std::string error_;
};

}  // namespace

std::string check_plural_rule(std::string_view rule) {
  if (rule.size() > kMaxLength)
    return "is " + std::to_string(rule.size()) + " bytes long, at most 1000 are read";
  std::vector<std::string_view> tokens;
  for (size_t at = 0; at < rule.size();) {
    if (rule[at] == ' ' || rule[at] == '\t') {
      ++at;
      continue;
    }
    const size_t length = token_length(rule.substr(at));
    if (length == 0) return "has something at column " + std::to_string(at + 1) + " that is no token";
    tokens.push_back(rule.substr(at, length));
    at += length;
  }
  return RuleParser(std::move(tokens)).check();
}

}  // namespace fovea::data
