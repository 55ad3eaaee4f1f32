# The fovea program, at the top of the build folder.
file(GLOB_RECURSE tool_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/frontends/tools/*.cpp)
list(FILTER tool_sources EXCLUDE REGEX "/tools/view/")
file(GLOB view_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/frontends/tools/view/*.cpp)
if(tool_sources AND "frontends" IN_LIST FOVEA_LAYERS)
  find_package(CLI11 REQUIRED)
  # Pictures and pages, apart so that their tests can link them.
  add_library(fovea_view STATIC ${view_sources})
  # A page's markup, style and scripts are files of their own; the program holds them as one string.
  function(fovea_page folder constant title)
    set(view ${PROJECT_SOURCE_DIR}/frontends/tools/view)
    set(from ${view}/${folder})
    set(to ${generated}/${folder}.cpp)
    set(parts body.html style.css ${ARGN})
    list(TRANSFORM parts PREPEND ${from}/)
    list(JOIN ARGN "|" scripts)
    add_custom_command(
      OUTPUT ${to}
      COMMAND ${CMAKE_COMMAND} -D FRAME=${view}/frame.html -D TITLE=${title} -D FOLDER=${from} -D "SCRIPTS=${scripts}"
              -D NAME=${constant} -D HEADER=frontends/tools/view/page.h -D OUTPUT=${to}
              -P ${PROJECT_SOURCE_DIR}/cmake/page.cmake
      DEPENDS ${view}/frame.html ${parts} ${PROJECT_SOURCE_DIR}/cmake/page.cmake VERBATIM)
    target_sources(fovea_view PRIVATE ${to})
  endfunction()
  fovea_page(graph_page kGraphPage Graph data.js layout.js draw.js panel.js keys.js main.js)
  fovea_page(attention_page kAttentionPage Attention script.js)
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
