// The fixed part of the page of graphs.
#pragma once

namespace fovea::tools {

inline constexpr const char* kGraphDataMark = "@GRAPHS@";
extern const char* const kGraphPage;  ///< a whole page in which kGraphDataMark stands for the data

}  // namespace fovea::tools
