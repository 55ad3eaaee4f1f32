#include "framework/tensor/dim.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <numeric>

#include "framework/base/checked.h"

namespace fovea {

// An atom is a symbol, or floor(num / den) of two dims. Atoms are compared by their text, which is canonical
// because polynomials are.
struct Atom {
  std::string text;
  std::shared_ptr<const std::pair<Dim, Dim>> quotient;
  friend bool operator==(const Atom& a, const Atom& b) { return a.text == b.text; }
  friend bool operator<(const Atom& a, const Atom& b) { return a.text < b.text; }
};

struct Term {
  std::vector<Atom> atoms;  // sorted, repeated for powers
  int64_t coefficient = 0;
};

// Terms sorted by their atoms, no coefficient 0, no two terms with equal atoms; the constant term has no
// atoms.
struct Dim::Poly {
  std::vector<Term> terms;
};

namespace {

// Sizes come from files, too, so what they can grow to is bounded. Every size within these bounds is read
// back from its text.
constexpr size_t kMaxTerms = 64;
constexpr size_t kMaxFactors = 64;
constexpr size_t kMaxQuotientText = 1024;
constexpr int kMaxDepth = 32;  // of parentheses
constexpr size_t kMaxText = 1 << 16;

int parenthesis_depth(std::string_view text) {
  int depth = 0, most = 0;
  for (char c : text) {
    depth += (c == '(') - (c == ')');
    most = std::max(most, depth);
  }
  return most;
}

std::vector<Term> terms_of(const Dim& d, const Dim::Poly* poly) {
  if (poly) return poly->terms;
  if (d.is_const() && d.value() != 0) return {Term{{}, d.value()}};
  return {};
}

void normalise(std::vector<Term>& terms) {
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) { return a.atoms < b.atoms; });
  std::vector<Term> out;
  for (Term& t : terms) {
    if (!out.empty() && out.back().atoms == t.atoms)
      out.back().coefficient = checked_add(out.back().coefficient, t.coefficient, "a symbolic size");
    else
      out.push_back(std::move(t));
  }
  std::erase_if(out, [](const Term& t) { return t.coefficient == 0; });
  terms = std::move(out);
}

// a / b where that is a whole number. The least integer divided by -1 would trap.
std::optional<int64_t> whole_quotient(int64_t a, int64_t b) {
  if (b == -1) return checked_mul(a, b, "a size");
  if (b == 0 || a % b != 0) return {};
  return a / b;
}

std::optional<Term> divide(const Term& a, const Term& b) {
  const auto coefficient = whole_quotient(a.coefficient, b.coefficient);
  if (!coefficient) return {};
  Term out{a.atoms, *coefficient};
  for (const Atom& atom : b.atoms) {
    auto at = std::find(out.atoms.begin(), out.atoms.end(), atom);
    if (at == out.atoms.end()) return {};
    out.atoms.erase(at);
  }
  return out;
}

int64_t floor_quotient(int64_t a, int64_t b) {
  if (b == 0) invalid("a size is divided by zero");
  if (auto whole = whole_quotient(a, b)) return *whole;
  int64_t q = a / b;
  return (a < 0) != (b < 0) ? q - 1 : q;
}

}  // namespace

Dim Dim::from(Poly&& poly) {
  normalise(poly.terms);
  if (poly.terms.size() > kMaxTerms)
    invalid("a symbolic size has " + std::to_string(poly.terms.size()) + " terms, at most 64 are allowed");
  if (poly.terms.empty()) return Dim(int64_t{0});
  if (poly.terms.size() == 1 && poly.terms[0].atoms.empty()) return Dim(poly.terms[0].coefficient);
  Dim d;
  d.poly_ = std::make_shared<const Poly>(std::move(poly));
  return d;
}

Dim Dim::symbol(std::string_view name) {
  bool ok = !name.empty() && name.size() <= 64 && !std::isdigit(static_cast<unsigned char>(name[0]));
  for (unsigned char c : name) ok = ok && (std::isalnum(c) || c == '_' || c == '.');
  if (!ok) invalid("a symbol is letters, digits, '_' and '.', at most 64: got '" + std::string(name) + "'");
  return from(Poly{{Term{{Atom{std::string(name), nullptr}}, 1}}});
}

int64_t Dim::value() const {
  if (poly_) invalid("the size " + str() + " is symbolic: its number is known only when the graph runs");
  return value_;
}

bool Dim::is_symbol() const {
  return poly_ && poly_->terms.size() == 1 && poly_->terms[0].coefficient == 1 &&
         poly_->terms[0].atoms.size() == 1 && !poly_->terms[0].atoms[0].quotient;
}

std::optional<int64_t> Dim::eval(const Bindings& bindings) const {
  if (!poly_) return value_;
  int64_t sum = 0;
  for (const Term& term : poly_->terms) {
    int64_t product = term.coefficient;
    for (const Atom& atom : term.atoms) {
      int64_t v = 0;
      if (atom.quotient) {
        auto num = atom.quotient->first.eval(bindings), den = atom.quotient->second.eval(bindings);
        if (!num || !den) return {};
        v = floor_quotient(*num, *den);
      } else {
        auto at =
            std::find_if(bindings.begin(), bindings.end(), [&](auto& b) { return b.first == atom.text; });
        if (at == bindings.end()) return {};
        v = at->second;
      }
      product = checked_mul(product, v, "a size");
    }
    sum = checked_add(sum, product, "a size");
  }
  return sum;
}

Dim Dim::substitute(const std::vector<std::pair<std::string, Dim>>& replacements) const {
  if (!poly_) return *this;
  Dim sum = 0;
  for (const Term& term : poly_->terms) {
    Dim product = term.coefficient;
    for (const Atom& atom : term.atoms) {
      if (atom.quotient) {
        product = product * floor_div(atom.quotient->first.substitute(replacements),
                                      atom.quotient->second.substitute(replacements));
        continue;
      }
      auto at = std::find_if(replacements.begin(), replacements.end(),
                             [&](auto& r) { return r.first == atom.text; });
      product = product * (at == replacements.end() ? symbol(atom.text) : at->second);
    }
    sum = sum + product;
  }
  return sum;
}

void Dim::symbols(std::vector<std::string>& out) const {
  if (!poly_) return;
  for (const Term& term : poly_->terms)
    for (const Atom& atom : term.atoms) {
      if (atom.quotient) {
        atom.quotient->first.symbols(out);
        atom.quotient->second.symbols(out);
      } else if (std::find(out.begin(), out.end(), atom.text) == out.end()) {
        out.push_back(atom.text);
      }
    }
}

std::string Dim::str() const {
  if (!poly_) return std::to_string(value_);
  std::string out;
  auto write = [&out](const Term& term) {
    std::string number = std::to_string(term.coefficient);
    // The least integer has no positive twin to write behind a minus.
    if (!out.empty() && term.coefficient < 0 && term.coefficient != std::numeric_limits<int64_t>::min()) {
      out += " - ";
      number.erase(0, 1);
    } else if (!out.empty()) {
      out += " + ";
    }
    if (!term.atoms.empty() && number == "1") number.clear();
    if (!term.atoms.empty() && number == "-1") number = "-";
    out += number;
    bool factor = !number.empty() && number != "-";
    for (const Atom& atom : term.atoms) {
      out += (factor ? "*" : "") + atom.text;
      factor = true;
    }
  };
  // The constant, first in the normal form, is written last.
  const bool constant = poly_->terms[0].atoms.empty();
  for (size_t i = constant; i < poly_->terms.size(); ++i) write(poly_->terms[i]);
  if (constant) write(poly_->terms[0]);
  return out;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (!a.poly_ && !b.poly_) return checked_add(a.value_, b.value_, "a size");
  Dim::Poly out{terms_of(a, a.poly_.get())};
  for (Term& t : terms_of(b, b.poly_.get())) out.terms.push_back(std::move(t));
  return Dim::from(std::move(out));
}

Dim operator*(const Dim& a, const Dim& b) {
  if (!a.poly_ && !b.poly_) return checked_mul(a.value_, b.value_, "a size");
  Dim::Poly out;
  const auto left = terms_of(a, a.poly_.get()), right = terms_of(b, b.poly_.get());
  for (const Term& x : left)
    for (const Term& y : right) {
      if (x.atoms.size() + y.atoms.size() > kMaxFactors)
        invalid("a symbolic size has a product of more than 64 factors");
      Term t{x.atoms, checked_mul(x.coefficient, y.coefficient, "a symbolic size")};
      t.atoms.insert(t.atoms.end(), y.atoms.begin(), y.atoms.end());
      std::sort(t.atoms.begin(), t.atoms.end());
      out.terms.push_back(std::move(t));
    }
  return Dim::from(std::move(out));
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(int64_t{-1}) * b; }

bool operator==(const Dim& a, const Dim& b) {
  if (!a.poly_ || !b.poly_) return !a.poly_ && !b.poly_ && a.value_ == b.value_;
  if (a.poly_ == b.poly_) return true;
  const auto &x = a.poly_->terms, &y = b.poly_->terms;
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const Term& s, const Term& t) {
    return s.coefficient == t.coefficient && s.atoms == t.atoms;
  });
}

namespace {
// All terms of `terms` divided by the single term of `by`, where each divides.
std::optional<std::vector<Term>> divide_all(const std::vector<Term>& terms, const Term& by) {
  std::vector<Term> out;
  for (const Term& t : terms) {
    auto q = divide(t, by);
    if (!q) return {};
    out.push_back(std::move(*q));
  }
  return out;
}
// The quotient of polynomials where nothing is left, by long division from the terms of most factors on.
std::optional<std::vector<Term>> polynomial_quotient(std::vector<Term> num, const std::vector<Term>& den) {
  const auto leading = [](const std::vector<Term>& terms) {
    return *std::max_element(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
      return a.atoms.size() != b.atoms.size() ? a.atoms.size() < b.atoms.size() : a.atoms < b.atoms;
    });
  };
  constexpr int kMostSteps = 16;
  constexpr int64_t kLargest = 1 << 20;  // of numbers that are multiplied
  const auto large = [](const Term& t) { return t.coefficient > kLargest || t.coefficient < -kLargest; };
  if (std::any_of(den.begin(), den.end(), large)) return {};
  const Term by = leading(den);
  std::vector<Term> out;
  for (int step = 0; step < kMostSteps && !num.empty(); ++step) {
    const auto q = divide(leading(num), by);
    if (!q || large(*q)) return {};
    out.push_back(*q);
    for (const Term& d : den) {
      Term t{d.atoms, -d.coefficient * q->coefficient};
      t.atoms.insert(t.atoms.end(), q->atoms.begin(), q->atoms.end());
      std::sort(t.atoms.begin(), t.atoms.end());
      num.push_back(std::move(t));
    }
    normalise(num);
  }
  return num.empty() ? std::optional(out) : std::nullopt;
}

// num = n * whole + rest, the numbers of rest from 0 to n - 1; then what rest and n have in common is gone.
struct Remainder {
  std::vector<Term> whole, rest;
  int64_t n, constant = 0;  // rest + constant

  Remainder(const std::vector<Term>& num, int64_t by) : n(by) {
    int64_t common = n;
    for (const Term& t : num) {
      const int64_t q = floor_quotient(t.coefficient, n), r = t.coefficient - q * n;
      if (q != 0) whole.push_back({t.atoms, q});
      if (r == 0) continue;
      if (t.atoms.empty()) {
        constant = r;
      } else {
        rest.push_back({t.atoms, r});
        common = std::gcd(common, r);
      }
    }
    if (rest.empty()) return;
    n /= common;
    constant /= common;
    for (Term& t : rest) t.coefficient /= common;
  }
  // The only term of rest, a quotient by a number.
  const std::pair<Dim, Dim>* only_quotient() const {
    if (rest.size() != 1 || rest[0].coefficient != 1 || rest[0].atoms.size() != 1) return nullptr;
    const auto& q = rest[0].atoms[0].quotient;
    constexpr int64_t kLargest = int64_t{1} << 31;
    if (!q || !q->second.is_const() || n >= kLargest) return nullptr;
    return q->second.value() > 0 && q->second.value() < kLargest ? q.get() : nullptr;
  }
};
}  // namespace

Dim floor_div(const Dim& a, const Dim& b) {
  if (!a.poly_ && !b.poly_) return floor_quotient(a.value_, b.value_);
  if (a == b) return 1;
  const auto num = terms_of(a, a.poly_.get()), den = terms_of(b, b.poly_.get());
  const auto quotient = [](const Dim& x, const Dim& y) {
    std::string text = "((" + x.str() + ") // (" + y.str() + "))";
    if (text.size() > kMaxQuotientText || parenthesis_depth(text) > kMaxDepth)
      invalid("a symbolic size has too long or too deep a quotient: " + text.substr(0, 80) + "...");
    Atom atom{std::move(text), std::make_shared<const std::pair<Dim, Dim>>(x, y)};
    return Dim::from(Dim::Poly{{Term{{std::move(atom)}, 1}}});
  };
  if (den.empty()) invalid("a size is divided by zero");
  if (num.empty()) return 0;
  if (den.size() == 1)
    if (auto q = divide_all(num, den[0])) return Dim::from(Dim::Poly{std::move(*q)});
  if (b.is_const() && b.value() > 0) {
    Remainder r(num, b.value());
    const Dim whole = Dim::from(Dim::Poly{r.whole});
    if (r.rest.empty()) return whole;
    if (const auto* q = r.only_quotient())  // ((x // m) + c) // n = (x + m c) // (m n)
      return whole + floor_div(q->first + q->second * Dim(r.constant), q->second * Dim(r.n));
    return whole + quotient(Dim::from(Dim::Poly{r.rest}) + Dim(r.constant), r.n);
  }
  if (auto q = polynomial_quotient(num, den)) return Dim::from(Dim::Poly{std::move(*q)});
  return quotient(a, b);
}

std::optional<Dim> exact_div(const Dim& a, const Dim& b) {
  if (b == Dim(0)) return {};
  if (a.is_const() && b.is_const()) {
    auto q = whole_quotient(a.value(), b.value());
    return q ? std::optional<Dim>(*q) : std::nullopt;
  }
  Dim q = floor_div(a, b);
  if (q * b == a) return q;
  return {};
}

namespace {

// Recursive descent over what str() writes; depth is bounded because text may come from a file.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}
  Dim all() {
    Dim d = sum(0);
    space();
    if (at_ != text_.size()) error();
    return d;
  }

 private:
  Dim sum(int depth) {
    Dim d = product(depth);
    for (;;) {
      space();
      if (take("+"))
        d = d + product(depth);
      else if (take("-"))
        d = d - product(depth);
      else
        return d;
    }
  }
  Dim product(int depth) {
    Dim d = atom(depth);
    for (;;) {
      space();
      if (take("//"))
        d = floor_div(d, atom(depth));
      else if (take("*"))
        d = d * atom(depth);
      else
        return d;
    }
  }
  Dim atom(int depth) {
    if (depth > kMaxDepth) error();
    space();
    if (take("(")) {
      Dim d = sum(depth + 1);
      space();
      if (!take(")")) error();
      return d;
    }
    if (take("-")) {
      const bool literal = at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_]));
      return literal ? word(-1) : Dim(int64_t{-1}) * atom(depth + 1);
    }
    return word(1);
  }
  // A symbol, or a number that takes the sign; so the least integer can be read.
  Dim word(int64_t sign) {
    size_t start = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' || text_[at_] == '.'))
      ++at_;
    if (start == at_) error();
    const std::string_view name = text_.substr(start, at_ - start);
    if (!std::isdigit(static_cast<unsigned char>(name[0]))) return Dim::symbol(name);
    int64_t v = 0;
    for (char c : name) {
      if (!std::isdigit(static_cast<unsigned char>(c))) error();
      v = checked_add(checked_mul(v, 10, "a size"), sign * (c - '0'), "a size");
    }
    return v;
  }
  bool take(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  [[noreturn]] void error() {
    invalid("not a size: '" + std::string(text_.substr(0, 80)) + "' (at character " + std::to_string(at_) +
            ")");
  }
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Dim Dim::parse(std::string_view text) {
  if (text.size() > kMaxText)
    invalid("a size expression of " + std::to_string(text.size()) + " characters, at most 65536 are allowed");
  return Parser(text).all();
}

Dim product(const Shape& shape) {
  Dim p = 1;
  for (const Dim& d : shape) p = p * d;
  return p;
}

int64_t product(const Dims& dims) {
  int64_t p = 1;
  for (int64_t d : dims) p = checked_mul(p, d, "the number of elements");
  return p;
}

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + shape[i].str();
  return out + "]";
}

std::string to_string(const Dims& dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
  return out + "]";
}

Dims evaluate(const Shape& shape, const Bindings& bindings) {
  Dims out;
  out.reserve(shape.size());
  for (const Dim& d : shape) {
    auto v = d.eval(bindings);
    if (!v) invalid("the size " + d.str() + " is not known: no input determines its symbols");
    if (*v < 0) invalid("the size " + d.str() + " is " + std::to_string(*v) + ", less than 0");
    out.push_back(*v);
  }
  return out;
}

bool is_concrete(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_const(); });
}

Shape to_shape(const Dims& dims) { return Shape(dims.begin(), dims.end()); }

}  // namespace fovea
