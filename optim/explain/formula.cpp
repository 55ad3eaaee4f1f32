#include "optim/explain/formula.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

namespace fovea {
namespace {

using tiles::Code;
using tiles::Instr;

constexpr size_t kShort = 32, kLong = 300;  // named where used twice; named in any case

// How tight an expression binds; what stands in a function's brackets is 0.
enum Level { kOr = 1, kAnd, kCompare, kSum, kProduct, kAtom };

struct Text {
  std::string text;
  int level = kAtom;
};

std::string within(const Text& t, int level) { return t.level < level ? "(" + t.text + ")" : t.text; }

const char* sign_of(Code code) {
  switch (code) {
    case Code::add:
      return " + ";
    case Code::sub:
      return " - ";
    case Code::mul:
      return "*";
    case Code::div:
      return "/";
    case Code::less:
      return " < ";
    case Code::less_equal:
      return " <= ";
    case Code::equal:
      return " == ";
    case Code::not_equal:
      return " != ";
    case Code::logical_and:
      return " and ";
    case Code::logical_or:
      return " or ";
    default:
      return nullptr;
  }
}

int level_of(Code code) {
  switch (code) {
    case Code::add:
    case Code::sub:
      return kSum;
    case Code::mul:
    case Code::div:
      return kProduct;
    case Code::logical_and:
      return kAnd;
    case Code::logical_or:
      return kOr;
    default:
      return kCompare;
  }
}

class Writer {
 public:
  Writer(const tiles::Program& program, bool scores) : program_(program), scores_(scores) {}

  std::string write() {
    if (program_.results.empty()) return "";
    const size_t n = program_.code.size();
    std::vector<int> uses(n, 0);
    for (const Instr& in : program_.code)
      for (int32_t v : {in.a, in.b, in.c})
        if (v >= 0 && in.code != Code::random) ++uses[static_cast<size_t>(v)];
    std::string names;
    for (size_t v = 0; v < n; ++v) {
      Text t = text_of(program_.code[v]);
      const bool inner = static_cast<int32_t>(v) != program_.results[0];
      if (inner && ((uses[v] > 1 && t.text.size() > kShort) || t.text.size() > kLong)) {
        const std::string name = fmt::format("t{}", ++named_);
        names += fmt::format(", {} = {}", name, t.text);
        t = {name, kAtom};
      }
      texts_.push_back(std::move(t));
    }
    return texts_[static_cast<size_t>(program_.results[0])].text + names;
  }

 private:
  const Text& at(int32_t v) const { return texts_[static_cast<size_t>(v)]; }

  std::string leaf(int64_t operand) const {
    return operand == 0 && scores_ ? "s" : fmt::format("x{}", operand);
  }

  Text text_of(const Instr& in) const {
    switch (in.code) {
      case Code::input:
        return {leaf(in.index)};
      case Code::constant:
        return constant(in);
      case Code::iota:
        return {in.index == -1 ? "j" : in.index == -2 ? "i" : fmt::format("index({})", in.index)};
      case Code::random:
        return {fmt::format("random({})", in.index)};
      case Code::neg:
        return {"-" + within(at(in.a), kAtom), kSum};
      case Code::logical_not:
        return {"not " + within(at(in.a), kAtom), kCompare};
      case Code::to_real:
      case Code::to_integer:
        return at(in.a);
      case Code::select:
        return {fmt::format("where({}, {}, {})", at(in.a).text, at(in.b).text, at(in.c).text)};
      default:
        break;
    }
    if (const char* sign = sign_of(in.code)) {
      // The right side of - and / must bind tighter.
      const int level = level_of(in.code);
      const bool tight = in.code == Code::sub || in.code == Code::div || level == kCompare;
      return {within(at(in.a), level + (level == kCompare)) + sign + within(at(in.b), level + tight), level};
    }
    std::string arguments;
    for (int32_t v : {in.a, in.b, in.c})
      if (v >= 0) arguments += (arguments.empty() ? "" : ", ") + at(v).text;
    return {fmt::format("{}({})", tiles::name_of(in.code), arguments)};
  }

  static Text constant(const Instr& in) {
    if (in.kind == tiles::Kind::boolean) return {in.index ? "true" : "false"};
    if (in.kind == tiles::Kind::integer) return {fmt::format("{}", in.index), in.index < 0 ? kSum : kAtom};
    return {fmt::format("{:g}", in.number), std::signbit(in.number) && !std::isinf(in.number) ? kSum : kAtom};
  }

  const tiles::Program& program_;
  const bool scores_;
  std::vector<Text> texts_;
  int named_ = 0;
};

}  // namespace

std::string formula(const tiles::Program& program, bool scores) { return Writer(program, scores).write(); }

}  // namespace fovea
