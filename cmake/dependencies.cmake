# Debian 12's versions are the floor. `./run build` installs the packages.
find_package(Threads REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(Protobuf 3.21 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Freetype REQUIRED)
find_package(Fontconfig REQUIRED)

# Found by name: these have no CMake package on Debian, or (oneDNN) one that asks for OpenCL's headers too.
set(FOVEA_LINK_LIBRARIES Threads::Threads protobuf::libprotobuf-lite fmt::fmt ZLIB::ZLIB ${CMAKE_DL_LIBS})
set(FOVEA_INCLUDE_DIRS)
foreach(entry dnnl=oneapi/dnnl/dnnl.hpp hwy=hwy/highway.h xxhash=xxhash.h)
  string(REGEX MATCH "^(.*)=(.*)$" _ ${entry})
  set(library ${CMAKE_MATCH_1})
  find_path(FOVEA_INCLUDE_${library} ${CMAKE_MATCH_2} REQUIRED)
  find_library(FOVEA_LIB_${library} ${library} REQUIRED)
  list(APPEND FOVEA_LINK_LIBRARIES ${FOVEA_LIB_${library}})
  list(APPEND FOVEA_INCLUDE_DIRS ${FOVEA_INCLUDE_${library}})
endforeach()
list(REMOVE_DUPLICATES FOVEA_INCLUDE_DIRS)
set(FOVEA_HEADER_LIBRARIES Eigen3::Eigen nlohmann_json::nlohmann_json)

# SentencePiece carries a Protobuf of its own, so it lives in a module apart (frontends/data/sentencepiece_module.cpp).
find_path(FOVEA_INCLUDE_sentencepiece sentencepiece_processor.h REQUIRED)
find_library(FOVEA_LIB_sentencepiece sentencepiece REQUIRED)
find_library(FOVEA_LIB_sentencepiece_train sentencepiece_train REQUIRED)
