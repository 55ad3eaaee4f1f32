# Language, build type, compiler flags, and the tools that make builds quick.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT CMAKE_BUILD_TYPE AND NOT multi_config)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
# No -march: kernels choose their instruction set at run time, so one binary serves every machine.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(launcher ${CCACHE_PROGRAM})
  if(FOVEA_PCH)  # ccache refuses precompiled headers unless told that their defines and times may differ
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  endif()
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM AND PROJECT_IS_TOP_LEVEL)
  add_link_options(-fuse-ld=mold)
endif()

# Flags of everything built here; none of them reaches a program that uses the installed library.
add_library(fovea_flags INTERFACE)
target_compile_options(fovea_flags INTERFACE
  -Wall -Wextra
  $<IF:$<CXX_COMPILER_ID:GNU>,-Wshadow=local,-Wshadow>  # a constructor's parameter may be named as its member is
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=  # errors name files relative to the repository
  $<$<CXX_COMPILER_ID:GNU>:-fno-semantic-interposition>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:${FOVEA_PCH}>>:-fpch-preprocess>
  $<$<BOOL:${FOVEA_WERROR}>:-Werror>)

if(FOVEA_SANITIZE)
  list(JOIN FOVEA_SANITIZE "," sanitizers)
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${sanitizers})
endif()
