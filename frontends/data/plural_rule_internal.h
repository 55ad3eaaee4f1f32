// The check of a catalogue header's plural rule.
#pragma once

#include <string>
#include <string_view>

namespace fovea::data {

/// What is wrong with the C expression of a Plural-Forms header such as "n != 1 ? 1 : 0"; empty when it is
/// sound. The expression may use n, decimal integers, ! * / % + - comparisons && || ?: and parentheses up to
/// 20 deep.
std::string check_plural_rule(std::string_view rule);

}  // namespace fovea::data
