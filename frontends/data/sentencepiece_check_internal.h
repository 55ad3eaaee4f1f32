// What a SentencePiece model must fulfil before the library may see it.
#pragma once

#include <string>
#include <string_view>

namespace fovea::data {

/// The library trusts the character map inside a model: a damaged one makes it read beyond the map. This
/// looks at every link and every text offset of the map. Returns what is wrong with its place in `model`, or
/// nothing.
std::string check_sentencepiece_model(std::string_view model);

}  // namespace fovea::data
