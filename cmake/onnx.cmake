# The ONNX importer: message classes from the onnx.proto that the system ships, in a package of our own and with hidden
# symbols (a program may use ONNX's library next to ours), and the table of converters.
find_file(FOVEA_ONNX_PROTO onnx/onnx.proto HINTS /usr/include REQUIRED)
set(onnx_dir ${generated}/frontends/import/onnx)
file(READ ${FOVEA_ONNX_PROTO} onnx_proto)
string(REPLACE "\npackage onnx;" "\npackage fovea.onnx_file;" onnx_proto "${onnx_proto}")
string(REGEX REPLACE "option optimize_for[^;]*;" "" onnx_proto "${onnx_proto}")
file(CONFIGURE OUTPUT ${onnx_dir}/onnx_file.proto CONTENT "${onnx_proto}" @ONLY)
add_custom_command(
  OUTPUT ${onnx_dir}/onnx_file.pb.cc ${onnx_dir}/onnx_file.pb.h
  COMMAND protobuf::protoc --cpp_out=lite:${onnx_dir} -I ${onnx_dir} ${onnx_dir}/onnx_file.proto
  DEPENDS ${onnx_dir}/onnx_file.proto VERBATIM)

file(GLOB_RECURSE converter_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/frontends/import/onnx/*.cpp)
list(SORT converter_sources)
list(JOIN converter_sources "\n" converter_source_lines)
file(CONFIGURE OUTPUT ${onnx_dir}/sources.txt CONTENT "${converter_source_lines}\n" @ONLY)
add_custom_command(
  OUTPUT ${onnx_dir}/converters.cpp
  COMMAND ${CMAKE_COMMAND} -D SOURCES=${onnx_dir}/sources.txt -D OUTPUT=${onnx_dir}/converters.cpp
          -P ${PROJECT_SOURCE_DIR}/cmake/onnx_converters.cmake
  DEPENDS ${converter_sources} ${onnx_dir}/sources.txt ${PROJECT_SOURCE_DIR}/cmake/onnx_converters.cmake
  COMMENT "Collecting ONNX converters" VERBATIM)

target_sources(fovea_objects PRIVATE ${onnx_dir}/onnx_file.pb.cc ${onnx_dir}/converters.cpp)
target_include_directories(fovea_objects SYSTEM PRIVATE ${generated})
set_source_files_properties(${onnx_dir}/onnx_file.pb.cc PROPERTIES
  COMPILE_OPTIONS "-w;-fvisibility=hidden" SKIP_PRECOMPILE_HEADERS ON)
