// Matrix products.
#include <algorithm>

#include "frontends/import/onnx/ops/common.h"

namespace fovea::onnx {
namespace {

Tensor general_product(Context& c) {
  Tensor a = c.in(0), b = c.in(1);
  const Tensor bias = c.optional(2);
  if (a.rank() != 2 || b.rank() != 2)
    c.invalid("the matrices have ranks " + std::to_string(a.rank()) + " and " + std::to_string(b.rank()));
  const double alpha = c.number("alpha", 1.0), beta = c.number("beta", 1.0);
  const bool turn_a = c.integer("transA", 0) != 0, turn_b = c.integer("transB", 0) != 0;
  if (turn_a) a = transpose(a, 0, 1);
  if (turn_b && alpha == 1 && (!bias.defined() || (beta == 1 && bias.rank() == 1 && bias.dim(0) == b.dim(0))))
    return linear(a, b, bias);
  Tensor y = matmul(a, turn_b ? transpose(b, 0, 1) : b);
  if (alpha != 1) y = y * alpha;
  return bias.defined() && beta != 0 ? y + (beta == 1 ? bias : bias * beta) : y;
}

// A term of an einsum whose letters stand once each: repeated ones become the diagonal of their axes.
Tensor diagonal(Context& c, Tensor x, std::string& term) {
  for (size_t i = 0; i < term.size(); ++i) {
    const size_t j = term[i] == '.' ? std::string::npos : term.find(term[i], i + 1);
    if (j == std::string::npos) continue;
    // The axes of both letters, counted from the end where they stand behind an ellipsis.
    const size_t dots = term.find("...");
    const auto axis = [&](size_t at) {
      const int64_t place = static_cast<int64_t>(at);
      return dots == std::string::npos || at < dots ? place
                                                    : x.rank() - static_cast<int64_t>(term.size()) + place;
    };
    const int64_t first = axis(i), second = axis(j), rank = x.rank();
    if (first < 0 || second <= first || second >= rank)
      c.invalid("\"" + term + "\" does not fit an operand of rank " + std::to_string(rank));
    const Dim n = x.dim(first);
    x = move_axis(move_axis(x, second, -1), first, -2);
    Shape rows = x.shape();
    rows.resize(static_cast<size_t>(rank) - 2);
    rows.push_back(n * n);
    if (!n.is_const()) c.unsupported("the diagonal of axes of unknown size " + n.str());
    const Tensor line = n == Dim(0) ? slice(reshape(x, rows), -1, 0, 0)
                                    : slice(reshape(x, rows), -1, 0, n * n, n.value() + 1);
    x = move_axis(line, -1, first);
    term.erase(j, 1);
    --i;
  }
  return x;
}

Tensor einstein_sum(Context& c) {
  std::string equation = c.text("equation");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const size_t arrow = equation.find("->");
  std::string left = equation.substr(0, arrow), terms;
  const std::string right = arrow == std::string::npos ? "" : equation.substr(arrow);
  std::vector<Tensor> operands;
  for (size_t i = 0, begin = 0; i < c.inputs(); ++i) {
    if (begin > left.size()) c.invalid("\"" + equation + "\" has too few terms");
    const size_t end = std::min(left.find(',', begin), left.size());
    std::string term = left.substr(begin, end - begin);
    if (arrow != std::string::npos)
      operands.push_back(diagonal(c, c.in(i), term));
    else
      operands.push_back(c.in(i));
    terms += (i > 0 ? "," : "") + term;
    begin = end + 1;
    if (i + 1 == c.inputs() && end != left.size()) c.invalid("\"" + equation + "\" has too many terms");
  }
  return einsum(terms + right, operands);
}

}  // namespace

FOVEA_ONNX(MatMul) { return {matmul(c.in(0), c.in(1))}; }
FOVEA_ONNX(Gemm) { return {general_product(c)}; }
FOVEA_ONNX(Einsum) { return {einstein_sum(c)}; }

}  // namespace fovea::onnx
