// Modules as text that reads back to the same module:
//
//   constant 0: f32[2] = [0.5, -1.0]
//   func @main(%0 "x": f32[B, 2]) -> (%3 "y") {
//     %1 = exp(%0) : f32[B, 2] @"model.cpp":12 in "encoder.0"
//     %2 = constant() {dtype = f32, index = 0, shape = <2>} : f32[2]
//     %3 = mul(%1, %2) : f32[B, 2]
//   }
//
// Nodes are numbered as they lie in the function, arguments included; %4#1 is the second output of node 4.
// The types behind the colon, attributes with their default value and source lines may be left out. // begins
// a comment.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir/graph.h"

namespace fovea {

/// The module as text. Constants of more than 64 elements are written as a digest of their bytes.
std::string print(const Module& module);
/// One of its functions, without the constants.
std::string print(const Module& module, const Graph& graph);

/// Reads what print() writes, and checks it as verify() does. `constants`: arrays, in any order, among which
/// those that the text knows by digest are found. InvalidArgument with line and column ("text:3:14: ...") for
/// what is not right.
std::shared_ptr<Module> parse(std::string_view text, const std::vector<Array>& constants = {});

}  // namespace fovea
