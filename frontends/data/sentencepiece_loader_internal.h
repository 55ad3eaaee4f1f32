// Finds the SentencePiece table: linked in, or in a module that is opened on first use.
#pragma once

#include "frontends/data/sentencepiece_module_internal.h"

namespace fovea::data {

/// The table, the same on every call. Looked for in this order: linked into the program;
/// libfovea_sentencepiece.so in the folder of the FOVEA_MODULE_PATH environment variable, beside the file
/// that holds this code, in the folder that the build names, and where the system's loader looks.
/// Unsupported, with what the loader said, when it is in none of them.
const FoveaSentencepiece& sentencepiece_table();

}  // namespace fovea::data
