# The library: every source is compiled once, and linked as libfovea and (for the tests) as a shared twin.
set(generated ${PROJECT_BINARY_DIR}/generated)
set(FOVEA_PRIVATE_HEADERS "(_internal|-inl|\\.(cpu|cuda))\\.h$|/import/onnx/")
set(sources)
foreach(layer IN LISTS FOVEA_LAYERS)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${layer}/*.cpp)
  list(APPEND sources ${found})
endforeach()
list(FILTER sources EXCLUDE REGEX "/frontends/tools/|/cuda/|\\.cuda\\.cpp$|/sentencepiece_module\\.cpp$")

add_library(fovea_objects OBJECT ${sources})
# What runs once (readers, importers, set-up, explanations) is built for size: the library stays under 10 MB.
set(built_once ${sources})
list(FILTER built_once INCLUDE REGEX "/(frontends|graph/serial|graph/text|optim/attention|optim/explain)/")
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT FOVEA_SANITIZE)
  set_source_files_properties(${built_once} PROPERTIES COMPILE_OPTIONS "-Os")
endif()
target_include_directories(fovea_objects PRIVATE ${PROJECT_SOURCE_DIR} ${generated}/include)
target_include_directories(fovea_objects SYSTEM PRIVATE ${FOVEA_INCLUDE_DIRS})
target_link_libraries(fovea_objects PRIVATE fovea_flags ${FOVEA_LINK_LIBRARIES} ${FOVEA_HEADER_LIBRARIES})
if(FOVEA_PCH)
  target_precompile_headers(fovea_objects PRIVATE
    <algorithm> <cstdint> <functional> <map> <memory> <optional> <string> <string_view> <unordered_map> <vector>)
endif()

# Ops and kernels are registered by explicit calls that cmake/manifest.cmake collects from the op folders.
if("ops" IN_LIST FOVEA_LAYERS AND EXISTS ${PROJECT_SOURCE_DIR}/graph/ir/op.h)
  file(GLOB_RECURSE op_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/*.cpp)
  list(SORT op_sources)
  list(JOIN op_sources "\n" op_source_lines)
  file(CONFIGURE OUTPUT ${generated}/op_sources.txt CONTENT "${op_source_lines}\n" @ONLY)
  add_custom_command(
    OUTPUT ${generated}/manifest.cpp
    COMMAND ${CMAKE_COMMAND} -D SOURCES=${generated}/op_sources.txt -D OUTPUT=${generated}/manifest.cpp
            -P ${PROJECT_SOURCE_DIR}/cmake/manifest.cmake
    DEPENDS ${op_sources} ${generated}/op_sources.txt ${PROJECT_SOURCE_DIR}/cmake/manifest.cmake
    COMMENT "Collecting op and kernel declarations" VERBATIM)
  target_sources(fovea_objects PRIVATE ${generated}/manifest.cpp)
endif()

# The file format. Its symbols are hidden: a program may use another Protobuf next to ours.
set(proto ${PROJECT_SOURCE_DIR}/graph/serial/fovea.proto)
if("graph" IN_LIST FOVEA_LAYERS AND EXISTS ${proto})
  set(proto_dir ${generated}/graph/serial)
  file(MAKE_DIRECTORY ${proto_dir})
  add_custom_command(
    OUTPUT ${proto_dir}/fovea.pb.cc ${proto_dir}/fovea.pb.h
    COMMAND protobuf::protoc --cpp_out=lite:${generated} -I ${PROJECT_SOURCE_DIR} ${proto}
    DEPENDS ${proto} VERBATIM)
  target_sources(fovea_objects PRIVATE ${proto_dir}/fovea.pb.cc)
  target_include_directories(fovea_objects SYSTEM PRIVATE ${generated})
  set_source_files_properties(${proto_dir}/fovea.pb.cc PROPERTIES
    COMPILE_OPTIONS "-w;-fvisibility=hidden" SKIP_PRECOMPILE_HEADERS ON)
endif()

if("frontends" IN_LIST FOVEA_LAYERS)
  include(cmake/onnx.cmake)
endif()

# Headers that are made here: <fovea/fovea.h>, and generated/ops.h with the functions of all ops.
file(CONFIGURE OUTPUT ${generated}/include/fovea/fovea.h CONTENT
     "#pragma once\n#include \"frontends/cpp/fovea.h\"  // IWYU pragma: export\n")
file(GLOB op_headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/ops/core/*/*.h ${PROJECT_SOURCE_DIR}/ops/composite/*/*.h)
list(FILTER op_headers EXCLUDE REGEX "${FOVEA_PRIVATE_HEADERS}")
list(TRANSFORM op_headers REPLACE "(.+)" "#include \"\\1\"")
list(JOIN op_headers "\n" op_includes)
file(CONFIGURE OUTPUT ${generated}/include/generated/ops.h CONTENT
     "// The functions of all ops; made by cmake/library.cmake.\n#pragma once\n\n${op_includes}\n" @ONLY)

function(fovea_library name)
  add_library(${name} ${ARGN} $<TARGET_OBJECTS:fovea_objects>)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${generated}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/fovea>)
  target_link_libraries(${name} PRIVATE ${FOVEA_LINK_LIBRARIES})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  target_link_options(${name} PRIVATE
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>:-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map>)
endfunction()

include(GNUInstallDirs)

# SentencePiece with its own Protobuf, opened when a tokenizer is first used; it lies next to the library.
if("frontends" IN_LIST FOVEA_LAYERS)
  add_library(fovea_sentencepiece MODULE frontends/data/sentencepiece_module.cpp)
  target_include_directories(fovea_sentencepiece PRIVATE ${PROJECT_SOURCE_DIR})
  target_include_directories(fovea_sentencepiece SYSTEM PRIVATE ${FOVEA_INCLUDE_sentencepiece})
  target_link_libraries(fovea_sentencepiece PRIVATE fovea_flags ${FOVEA_LIB_sentencepiece_train} ${FOVEA_LIB_sentencepiece})
  set_target_properties(fovea_sentencepiece PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  add_dependencies(fovea_objects fovea_sentencepiece)
  set_source_files_properties(frontends/data/sentencepiece_loader.cpp PROPERTIES
    COMPILE_DEFINITIONS "FOVEA_MODULE_DIR=\"${CMAKE_INSTALL_FULL_LIBDIR}\"")
  install(TARGETS fovea_sentencepiece LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
fovea_library(fovea)
add_library(fovea::fovea ALIAS fovea)

# Tests and benchmarks link against the shared form: many small programs that link in an instant.
if(BUILD_SHARED_LIBS)
  add_library(fovea_dev ALIAS fovea)
elseif(FOVEA_BUILD_TESTS OR FOVEA_BUILD_BENCHMARKS)
  fovea_library(fovea_dev SHARED EXCLUDE_FROM_ALL)
endif()
