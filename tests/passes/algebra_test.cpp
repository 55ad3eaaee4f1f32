// Each rule of algebra fires where it should, leaves every bit as it was, and stays away elsewhere.
#include "optim/passes/algebra.h"

#include <set>

#include "tests/passes/pass_test_util.h"

namespace fovea::test {
namespace {

struct Case {
  const char* rule;
  std::string inputs;  ///< "f32[4, 3], bool[3]"
  std::string body;    ///< nodes; the last one is the result
  std::string after;   ///< ops that are left, once dead code is gone
  Stage stage = Stage::expanded;
};

// func @main(...) of inputs %0, %1, ...; the body goes on numbering.
std::shared_ptr<Module> module_of(const Case& c) {
  std::string args, text = c.inputs;
  int count = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    args += (count ? ", " : "") + ("%" + std::to_string(count)) + ": " + text.substr(0, end);
    ++count;
    text.erase(0, std::min(end + 1, text.size()));
  }
  const std::string& body = c.body;
  const size_t last = body.rfind("\n%") + 1;  // the last line, or the only one
  const std::string result = body.substr(last, body.find(' ', last) - last);
  return parse("func @main(" + args + ") -> (" + result + ") {\n" + body + "\n}\n");
}

int64_t fired(const std::string& rule) { return rule_counts()[rule]; }

void expect_fires(const Case& c) {
  SCOPED_TRACE(std::string(c.rule) + ": " + c.body);
  const auto before = module_of(c);
  const int64_t times = fired(c.rule);
  const auto after = after_pass(before, "algebra", c.stage);
  EXPECT_GT(fired(c.rule), times);
  EXPECT_EQ(ops_of(*after), c.after);
  expect_same_bits(before, after);
}

void expect_stays(const Case& c) {
  SCOPED_TRACE(std::string(c.rule) + " must stay away: " + c.body);
  const auto before = module_of(c);
  const int64_t times = fired(c.rule);
  const auto after = after_pass(before, "algebra", c.stage);
  EXPECT_EQ(fired(c.rule), times);
  expect_same_bits(before, after);
}

const std::string kF = "f32[4, 11]";

std::string number(double v, const char* dtype = "f32", const char* shape = "") {
  return "full() {value = " + to_string(AttrValue(v)) + ", dtype = " + dtype + ", shape = <" + shape + ">}";
}

std::vector<Case> firing() {
  std::vector<Case> list = {
      {"mul_one", kF, "%1 = " + number(1) + "\n%2 = mul(%0, %1)", ""},
      {"mul_one", kF, "%1 = " + number(1) + "\n%2 = mul(%1, %0)", ""},
      {"mul_one", "f32[11]", "%1 = " + number(1, "f32", "2, 11") + "\n%2 = mul(%0, %1)", "broadcast_to"},
      {"mul_one", "i32[4]", "%1 = " + number(1, "i32") + "\n%2 = mul(%0, %1)", ""},
      {"mul_one", "f32[B, L]", "%1 = " + number(1) + "\n%2 = mul(%0, %1)", "", Stage::forward},
      {"mul_minus_one", kF, "%1 = " + number(-1) + "\n%2 = mul(%0, %1)", "neg"},
      {"div_one", kF, "%1 = " + number(1) + "\n%2 = div(%0, %1)", ""},
      {"div_power_of_two", kF, "%1 = " + number(8) + "\n%2 = div(%0, %1)", "full mul"},
      {"div_power_of_two", kF, "%1 = " + number(-0.25) + "\n%2 = div(%0, %1)", "full mul"},
      {"div_power_of_two", "f16[23]", "%1 = " + number(16384, "f16") + "\n%2 = div(%0, %1)", "full mul"},
      {"mul_powers_of_two", kF,
       "%1 = " + number(4) + "\n%2 = mul(%0, %1)\n%3 = " + number(8) + "\n%4 = mul(%3, %2)", "full mul"},
      {"integer_mul_zero", "i64[7]", "%1 = " + number(0, "i64") + "\n%2 = mul(%0, %1)", "full"},
      {"add_zero", kF, "%1 = " + number(-0.0) + "\n%2 = add(%0, %1)", ""},
      {"add_zero", kF, "%1 = " + number(0) + "\n%2 = exp(%0)\n%3 = add(%2, %1)", "exp"},
      {"add_zero", "i8[20]", "%1 = " + number(0, "i8") + "\n%2 = add(%1, %0)", ""},
      {"sub_zero", kF, "%1 = " + number(0) + "\n%2 = sub(%0, %1)", ""},
      {"where_constant", kF + ";f32[11]", "%2 = " + number(1, "bool") + "\n%3 = where(%2, %0, %1)", ""},
      {"where_constant", kF + ";f32[11]", "%2 = " + number(0, "bool") + "\n%3 = where(%2, %0, %1)",
       "broadcast_to"},
      {"logical_constant", "bool[9]", "%1 = " + number(1, "bool") + "\n%2 = logical_and(%0, %1)", ""},
      {"logical_constant", "bool[9]", "%1 = " + number(0, "bool") + "\n%2 = logical_and(%0, %1)", "full"},
      {"logical_constant", "bool[9]", "%1 = " + number(1, "bool") + "\n%2 = logical_or(%1, %0)", "full"},
      {"cast_same", kF, "%1 = cast(%0) {dtype = f32}", ""},
      {"cast_cast", kF, "%1 = cast(%0) {dtype = f64}\n%2 = cast(%1) {dtype = f32}", "", Stage::forward},
      {"cast_cast", kF, "%1 = cast(%0) {dtype = f64}\n%2 = cast(%1) {dtype = i8}", "cast"},
      {"cast_cast", "f16[23]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = f64}", "cast"},
      {"cast_cast", "i8[23]", "%1 = cast(%0) {dtype = i32}\n%2 = cast(%1) {dtype = u8}", "cast"},
      {"cast_cast", "bool[3]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = i8}", "cast"},
      {"neg_neg", kF, "%1 = neg(%0)\n%2 = neg(%1)", "", Stage::forward},
      {"not_not", "bool[5]", "%1 = logical_not(%0)\n%2 = logical_not(%1)", ""},
      {"neg_product", kF + ";f32[11]", "%2 = neg(%0)\n%3 = neg(%1)\n%4 = mul(%2, %3)", "mul"},
      {"neg_product", kF + ";f32[11]", "%2 = neg(%0)\n%3 = neg(%1)\n%4 = div(%2, %3)", "div"},
      {"add_neg", kF + ";f32[11]", "%2 = neg(%1)\n%3 = add(%0, %2)", "sub"},
      {"add_neg", kF + ";f32[11]", "%2 = neg(%1)\n%3 = add(%2, %0)", "sub"},
      {"sub_neg", kF + ";f32[11]", "%2 = neg(%1)\n%3 = sub(%0, %2)", "add"},
      {"where_not", "bool[11];" + kF + ";f32[11]", "%3 = logical_not(%0)\n%4 = where(%3, %1, %2)", "where"},
      {"where_same", "bool[11];" + kF, "%2 = where(%0, %1, %1)", ""},
      {"where_where", "bool[11];" + kF + ";f32[11]", "%3 = where(%0, %1, %2)\n%4 = where(%0, %3, %2)",
       "where"},
      {"where_where", "bool[11];" + kF + ";f32[11]", "%3 = where(%0, %1, %2)\n%4 = where(%0, %2, %3)",
       "broadcast_to where"},
      {"maximum_same", kF, "%1 = maximum(%0, %0)", ""},
      {"maximum_same", kF, "%1 = minimum(%0, %0)", ""},
      {"logical_same", "bool[11]", "%1 = logical_or(%0, %0)", ""},
      {"identity", kF, "%1 = identity(%0)\n%2 = exp(%1)", "exp", Stage::forward},
      {"stop_gradient", kF, "%1 = stop_gradient(%0)", ""},
      {"same_shape", kF, "%1 = reshape(%0) {shape = <4, 11>}", ""},
      {"same_shape", "f32[B, L]", "%1 = broadcast_to(%0) {shape = <B, L>}", ""},
      {"reshape_reshape", kF, "%1 = reshape(%0) {shape = <44>}\n%2 = reshape(%1) {shape = <2, 22>}",
       "reshape"},
      {"reshape_reshape", kF, "%1 = reshape(%0) {shape = <44>}\n%2 = reshape(%1) {shape = <4, 11>}", "",
       Stage::forward},
      {"permute_identity", kF, "%1 = permute(%0) {axes = [0, 1]}", ""},
      {"permute_permute", "f32[2, 3, 4]",
       "%1 = permute(%0) {axes = [2, 0, 1]}\n%2 = permute(%1) {axes = [0, 2, 1]}", "permute"},
      {"permute_permute", "f32[2, 3, 4]",
       "%1 = permute(%0) {axes = [2, 0, 1]}\n%2 = permute(%1) {axes = [1, 2, 0]}", ""},
      {"broadcast_broadcast", "f32[11]",
       "%1 = broadcast_to(%0) {shape = <2, 11>}\n%2 = broadcast_to(%1) {shape = <3, 2, 11>}", "broadcast_to"},
      {"slice_full", kF, "%1 = slice(%0) {starts = <0, 0>, stops = <4, 11>, steps = [1, 1]}", ""},
      {"slice_full", "f32[B, 2]", "%1 = slice(%0) {starts = <0, 0>, stops = <B, 2>, steps = [1, 1]}", ""},
      {"slice_slice", "f32[20]",
       "%1 = slice(%0) {starts = <3>, stops = <18>, steps = [1]}\n%2 = slice(%1) {starts = <2>, stops = <9>, "
       "steps = [1]}",
       "slice"},
      {"slice_pad", "f32[9]",
       "%1 = pad(%0) {low = <2>, high = <3>, interior = [0], value = -0.0}\n%2 = slice(%1) {starts = <2>, "
       "stops "
       "= <11>, steps = [1]}",
       ""},
      {"slice_pad", "f32[9]",
       "%1 = pad(%0) {low = <2>, high = <3>, interior = [0], value = -0.0}\n%2 = slice(%1) {starts = <0>, "
       "stops "
       "= <2>, steps = [1]}",
       "full"},
      {"slice_concat", "f32[4];f32[5]",
       "%2 = concat(%0, %1) {axis = 0}\n%3 = slice(%2) {starts = <5>, stops = <8>, steps = [1]}", "slice"},
      {"slice_concat", "f32[4];f32[5]",
       "%2 = concat(%0, %1) {axis = 0}\n%3 = slice(%2) {starts = <4>, stops = <9>, steps = [1]}", ""},
      {"pad_nothing", kF, "%1 = pad(%0) {low = <0, 0>, high = <0, 0>, interior = [0, 0], value = 3.0}", ""},
      {"pad_pad", "f32[9]",
       "%1 = pad(%0) {low = <2>, high = <3>, interior = [0], value = 1.0}\n%2 = pad(%1) {low = <1>, high = "
       "<0>, "
       "interior = [0], value = 1.0}",
       "pad"},
      {"concat_one", kF, "%1 = concat(%0) {axis = 1}", ""},
      {"concat_slices", "f32[9]",
       "%1 = slice(%0) {starts = <0>, stops = <4>, steps = [1]}\n%2 = slice(%0) {starts = <4>, stops = <9>, "
       "steps = [1]}\n%3 = concat(%1, %2) {axis = 0}",
       ""},
      {"reduce_nothing", "f32[1, 22]", "%1 = max(%0) {axes = [0]}", "reshape"},
      {"reduce_nothing", "f32[1, 22]", "%1 = prod(%0) {axes = [0], keepdims = true}", ""},
      {"reduce_nothing", "i32[22, 1]", "%1 = sum(%0) {axes = [1]}", "reshape"},
      {"reduce_nothing", "f32[22, 1]", "%1 = exp(%0)\n%2 = sum(%1) {axes = [1]}", "exp reshape"},
  };
  return list;
}

TEST(Algebra, EachRuleFiresAndKeepsEveryBit) {
  std::set<std::string> seen;
  for (const Case& c : firing()) {
    expect_fires(c);
    seen.insert(c.rule);
  }
  for (const char* rule : algebra_rules()) EXPECT_TRUE(seen.count(rule)) << "no test for " << rule;
}

TEST(Algebra, RulesStayAwayWhereBitsWouldChange) {
  const std::vector<Case> list = {
      {"add_zero", kF, "%1 = " + number(0) + "\n%2 = add(%0, %1)", ""},     // -0 + 0 is 0
      {"sub_zero", kF, "%1 = " + number(-0.0) + "\n%2 = sub(%0, %1)", ""},  // the same
      {"integer_mul_zero", kF, "%1 = " + number(0) + "\n%2 = mul(%0, %1)", ""},
      {"div_power_of_two", kF, "%1 = " + number(3) + "\n%2 = div(%0, %1)", ""},
      {"div_power_of_two", kF, "%1 = " + number(0) + "\n%2 = div(%0, %1)", ""},
      {"div_power_of_two", kF, "%1 = " + number(std::ldexp(1, 127)) + "\n%2 = div(%0, %1)", ""},
      {"div_power_of_two", "f16[23]", "%1 = " + number(32768, "f16") + "\n%2 = div(%0, %1)", ""},
      {"mul_powers_of_two", kF,
       "%1 = " + number(4) + "\n%2 = mul(%0, %1)\n%3 = " + number(0.5) + "\n%4 = mul(%3, %2)", ""},
      {"mul_powers_of_two", kF,
       "%1 = " + number(0.5) + "\n%2 = mul(%0, %1)\n%3 = " + number(0.5) + "\n%4 = mul(%3, %2)", ""},
      {"mul_powers_of_two", kF,
       "%1 = " + number(std::ldexp(1, 100)) + "\n%2 = mul(%0, %1)\n%3 = " + number(std::ldexp(1, 100)) +
           "\n%4 = mul(%3, %2)",
       ""},
      {"cast_cast", "f64[23]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = f64}", ""},
      {"cast_cast", "i8[23]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = u8}", ""},
      {"cast_cast", "i32[23]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = f64}", ""},
      // c -> b -> a would round the gradient once more
      {"cast_cast", "f16[23]", "%1 = cast(%0) {dtype = f32}\n%2 = cast(%1) {dtype = f64}", "",
       Stage::forward},
      {"reduce_nothing", "f32[1, 22]", "%1 = sum(%0) {axes = [0]}", ""},  // a sum begins with +0
      {"reduce_nothing", "f32[2, 22]", "%1 = max(%0) {axes = [0]}", ""},
      {"stop_gradient", kF, "%1 = stop_gradient(%0)", "", Stage::forward},
      {"where_same", "bool[11];" + kF, "%2 = where(%0, %1, %1)", "", Stage::forward},
      {"identity", kF, "%1 = identity(%0) {barrier = true}", ""},
      {"slice_pad", "f32[9]",
       "%1 = pad(%0) {low = <2>, high = <3>, interior = [0], value = 0.0}\n%2 = slice(%1) {starts = <1>, "
       "stops "
       "= <11>, steps = [1]}",
       ""},
      {"slice_concat", "f32[4];f32[5]",
       "%2 = concat(%0, %1) {axis = 0}\n%3 = slice(%2) {starts = <3>, stops = <8>, steps = [1]}", ""},
      {"concat_slices", "f32[9]",
       "%1 = slice(%0) {starts = <0>, stops = <4>, steps = [1]}\n%2 = slice(%0) {starts = <4>, stops = <9>, "
       "steps = [1]}\n%3 = concat(%2, %1) {axis = 0}",
       ""},
      {"pad_pad", "f32[9]",
       "%1 = pad(%0) {low = <2>, high = <3>, interior = [0], value = 1.0}\n%2 = pad(%1) {low = <1>, high = "
       "<0>, "
       "interior = [0], value = 2.0}",
       ""},
      {"reshape_reshape", kF, "%1 = reshape(%0) {shape = <44>}\n%2 = exp(%1)", ""},
  };
  for (const Case& c : list) expect_stays(c);
}

TEST(Algebra, ChainsCollapseInOneWalk) {
  std::string body;
  for (int i = 1; i <= 40; ++i) body += "%" + std::to_string(i) + " = neg(%" + std::to_string(i - 1) + ")\n";
  const auto before = module_of({"", kF, body, ""});
  EXPECT_EQ(ops_of(*after_pass(before, "algebra")), "");
}

}  // namespace
}  // namespace fovea::test
