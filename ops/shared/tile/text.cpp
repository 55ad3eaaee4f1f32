// Tile programs as text.
#include <array>
#include <charconv>

#include "framework/base/error.h"
#include "ops/shared/tile/program.h"

namespace fovea::tiles {
namespace {

constexpr size_t kMaxText = 1 << 20;

constexpr std::array<std::string_view, static_cast<size_t>(Code::select) + 1> kNames = {
    "input",      "constant",    "iota",   "random",      "neg",     "abs",        "sign",
    "exp",        "expm1",       "log",    "log1p",       "sqrt",    "rsqrt",      "reciprocal",
    "tanh",       "sigmoid",     "erf",    "sin",         "cos",     "floor",      "ceil",
    "round",      "is_nan",      "is_inf", "logical_not", "to_real", "to_integer", "to_boolean",
    "add",        "sub",         "mul",    "div",         "maximum", "minimum",    "pow",
    "mod",        "floor_div",   "less",   "less_equal",  "equal",   "not_equal",  "logical_and",
    "logical_or", "logical_xor", "select"};

void append_number(std::string& out, double x) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), x);
  out.append(buffer, end.ptr);
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[noreturn]] void fail_here(const std::string& what) const {
    const std::string_view rest = text_.substr(std::min(begin_, text_.size()), 20);
    invalid("tile program, position " + std::to_string(begin_) + ": " + what +
            (rest.empty() ? ", but the text ends" : ", got '" + std::string(rest) + "'"));
  }
  // The next word: letters, digits and what numbers are written with; ';' and '=' stand alone. "" at the end.
  std::string_view next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    begin_ = at_;
    if (at_ < text_.size() && (text_[at_] == ';' || text_[at_] == '=')) return text_.substr(at_++, 1);
    while (at_ < text_.size() && in_word(text_[at_])) ++at_;
    if (at_ == begin_ && at_ < text_.size()) fail_here("expected a word");
    return text_.substr(begin_, at_ - begin_);
  }
  std::string_view peek() {
    const size_t at = at_, begin = begin_;
    const std::string_view word = next();
    at_ = at;
    begin_ = begin;
    return word;
  }
  void expect(std::string_view word) {
    if (next() != word) fail_here("expected '" + std::string(word) + "'");
  }
  int64_t integer(std::string_view word, const char* what) const {
    int64_t x = 0;
    const auto end = std::from_chars(word.data(), word.data() + word.size(), x);
    if (word.empty() || end.ec != std::errc() || end.ptr != word.data() + word.size())
      fail_here(std::string("expected ") + what);
    return x;
  }
  int64_t integer(const char* what) {
    const std::string_view word = next();
    return integer(word, what);
  }
  double number() {
    const std::string_view word = next();
    double x = 0;
    const auto end = std::from_chars(word.data(), word.data() + word.size(), x);
    if (word.empty() || end.ec != std::errc() || end.ptr != word.data() + word.size())
      fail_here("expected a number");
    return x;
  }
  // "v12", a value that is there already.
  int32_t value(const std::vector<int32_t>& numbers) {
    const std::string_view word = next();
    if (word.size() < 2 || word[0] != 'v') fail_here("expected a value such as v0");
    const int64_t v = integer(word.substr(1), "a value such as v0");
    if (v < 0 || v >= static_cast<int64_t>(numbers.size()))
      fail_here("value " + std::string(word) + " is not made yet");
    return numbers[v];
  }

 private:
  static bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || c == '+';
  }
  std::string_view text_;
  size_t at_ = 0, begin_ = 0;
};

int32_t read_input(Reader& in, Program& p) {
  const int64_t operand = in.integer("the number of an operand");
  Kind kind = Kind::real;
  if (in.peek() == "integer" || in.peek() == "boolean")
    kind = in.next() == "integer" ? Kind::integer : Kind::boolean;
  return p.input(operand, kind);
}

int32_t read_instruction(Reader& in, Program& p, const std::vector<int32_t>& numbers) {
  const std::string_view word = in.next();
  if (word == "integer") return p.integer(in.integer("an integer"));
  if (word == "boolean") {
    const std::string_view truth = in.next();
    if (truth != "true" && truth != "false") in.fail_here("expected true or false");
    return p.boolean(truth == "true");
  }
  for (size_t k = 0; k < kNames.size(); ++k) {
    if (kNames[k] != word) continue;
    Instr i;
    i.code = static_cast<Code>(k);
    if (i.code == Code::input) return read_input(in, p);
    if (i.code == Code::constant) return p.constant(in.number());
    if (i.code == Code::iota) return p.iota(in.integer("an axis"));
    if (i.code == Code::random) {
      const int64_t stream = in.integer("the number of a stream");
      return p.random(stream, in.integer("the operand of a key"));
    }
    const int n = arity(i.code);
    i.a = in.value(numbers);
    if (n > 1) i.b = in.value(numbers);
    if (n > 2) i.c = in.value(numbers);
    return p.add(i);
  }
  in.fail_here("expected an instruction");
}

}  // namespace

std::string_view name_of(Code code) { return kNames[static_cast<size_t>(code)]; }

bool code_of_op(std::string_view op, Code& code) {
  if (op == "where") {
    code = Code::select;
    return true;
  }
  for (size_t k = static_cast<size_t>(Code::neg); k < static_cast<size_t>(Code::select); ++k) {
    const Code c = static_cast<Code>(k);
    if (kNames[k] != op || c == Code::to_real || c == Code::to_integer || c == Code::to_boolean) continue;
    code = c;
    return true;
  }
  return false;
}

std::string Program::str() const {
  std::string out;
  const auto value = [&out](int32_t v) { out += " v" + std::to_string(v); };
  for (size_t v = 0; v < code.size(); ++v) {
    const Instr& i = code[v];
    out += "v" + std::to_string(v) + " = ";
    if (i.code == Code::constant && i.kind != Kind::real) {
      out += i.kind == Kind::integer ? "integer " + std::to_string(i.index)
                                     : std::string("boolean ") + (i.index ? "true" : "false");
    } else {
      out += name_of(i.code);
    }
    if (i.code == Code::constant && i.kind == Kind::real) {
      out += ' ';
      append_number(out, i.number);
    }
    if (i.code == Code::input || i.code == Code::iota || i.code == Code::random)
      out += " " + std::to_string(i.index);
    if (i.code == Code::input && i.kind != Kind::real)
      out += i.kind == Kind::integer ? " integer" : " boolean";
    if (i.code == Code::random) out += " " + std::to_string(i.a);
    const int n = arity(i.code);
    if (n > 0) value(i.a);
    if (n > 1) value(i.b);
    if (n > 2) value(i.c);
    out += "; ";
  }
  if (code.empty()) return out;
  out += "return";
  for (int32_t r : results) value(r);
  return out;
}

Program Program::parse(std::string_view text) {
  if (text.size() > kMaxText)
    invalid("tile program: a text of " + std::to_string(text.size()) + " bytes is longer than " +
            std::to_string(kMaxText));
  Reader in(text);
  Program p;
  std::vector<int32_t> numbers;  // what the text calls v0, v1, ...
  if (in.peek().empty()) return p;
  for (;;) {
    const std::string_view word = in.next();
    if (word == "return") break;
    if (word != "v" + std::to_string(numbers.size()))
      in.fail_here("expected v" + std::to_string(numbers.size()) + " or return");
    in.expect("=");
    numbers.push_back(read_instruction(in, p, numbers));
    in.expect(";");
  }
  while (!in.peek().empty()) p.results.push_back(in.value(numbers));
  return p;
}

}  // namespace fovea::tiles
