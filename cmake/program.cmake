# The fovea program, at the top of the build folder.
file(GLOB_RECURSE tool_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/frontends/tools/*.cpp)
list(FILTER tool_sources EXCLUDE REGEX "/tools/view/")
file(GLOB view_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/frontends/tools/view/*.cpp)
if(tool_sources AND "frontends" IN_LIST FOVEA_LAYERS)
  find_package(CLI11 REQUIRED)
  # Pictures and pages, apart so that their tests can link them.
  add_library(fovea_view STATIC ${view_sources})
  target_include_directories(fovea_view PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(fovea_view PRIVATE fovea_flags fmt::fmt nlohmann_json::nlohmann_json
    PUBLIC PNG::PNG Freetype::Freetype Fontconfig::Fontconfig)
  add_executable(fovea_program ${tool_sources})
  set_target_properties(fovea_program PROPERTIES OUTPUT_NAME fovea RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_link_libraries(fovea_program PRIVATE
    fovea_view fovea fovea_flags CLI11::CLI11 fmt::fmt nlohmann_json::nlohmann_json)
  # Every subcommand includes these, and CLI11 alone takes seconds.
  target_precompile_headers(fovea_program PRIVATE <CLI/CLI.hpp> <fmt/format.h> <nlohmann/json.hpp>)
  install(TARGETS fovea_program)
endif()
