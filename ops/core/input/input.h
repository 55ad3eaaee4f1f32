#pragma once

namespace fovea {

// The op "input" is made by Builder::input (graph/build/builder.h), never by calling a function.

}  // namespace fovea
