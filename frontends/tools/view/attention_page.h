// The fixed part of the attention page.
#pragma once

namespace fovea::tools {

/// Markup, style and script of the page; the data goes in where kDataMark stands.
extern const char* const kAttentionPage;
inline constexpr const char* kDataMark = "@DATA@";

}  // namespace fovea::tools
