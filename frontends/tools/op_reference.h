// Ops in words: what `fovea ops` prints and the pages of the op reference.
#pragma once

#include <string>
#include <vector>

#include "graph/ir/op.h"

namespace fovea::tools {

/// The backends that come with the library.
inline constexpr const char* kBackends[] = {"cpu", "reference"};

/// "floating", "i32 or i64", ...
const char* describe(Types types);
/// "integer", "number", "axes", ...: what kind of value an attribute takes.
const char* kind_of(const AttrValue& value);
/// "rule", "decomposition" or "none": where an op's gradient comes from.
const char* gradient_of(const OpDecl& op);
/// "pointwise", "commutative", "view", "random", "side effect".
std::vector<std::string> traits_of(const OpDecl& op);
/// The first sentence of a text, without its full stop.
std::string first_sentence(const std::string& doc);

/// All that an op declares, for a terminal.
std::string op_text(const OpDecl& op);
/// The same as a page of Markdown.
std::string op_page(const OpDecl& op);
/// Writes a page for each op and README.md, their index; how many pages. IO where the folder cannot be
/// written.
size_t write_op_reference(const std::string& folder);

}  // namespace fovea::tools
