#pragma once

namespace fovea {

// The op "constant" is made by Builder::constant (graph/build/builder.h), never by calling a function.

}  // namespace fovea
