# Installs the library, its headers, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

# Headers in three tiers: folders with all below them, or patterns. What neither list names is not installed.
set(FOVEA_PUBLIC_HEADERS  # for authors of models and programs
  frontends/cpp frontends/nn frontends/data frontends/models frontends/import/*.h
  framework/base framework/tensor graph/build graph/text graph/serial ops/core ops/composite ops/shared/tile/program.h optim/update)
set(FOVEA_EXTENSION_HEADERS  # for authors of ops, kernels, passes and backends
  graph/ir framework/backend/*.h framework/runtime/*.h optim/lower/program.h optim/rewrite optim/explain/record.h optim/explain/recompute.h
  optim/explain/explain.h)

foreach(entry IN LISTS FOVEA_PUBLIC_HEADERS FOVEA_EXTENSION_HEADERS)
  if(entry MATCHES "\\.h$")
    file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/${entry})
  else()
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/${entry}/*.h)
  endif()
  list(FILTER headers EXCLUDE REGEX "${FOVEA_PRIVATE_HEADERS}")
  foreach(header IN LISTS headers)
    cmake_path(GET header PARENT_PATH folder)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea/${folder})
  endforeach()
endforeach()
install(FILES ${generated}/include/fovea/fovea.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea)
install(FILES ${generated}/include/generated/ops.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea/generated)

install(TARGETS fovea EXPORT fovea-targets)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
install(EXPORT fovea-targets NAMESPACE fovea:: DESTINATION ${package_dir})
configure_package_config_file(cmake/fovea-config.cmake.in ${PROJECT_BINARY_DIR}/fovea-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fovea-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fovea-config.cmake ${PROJECT_BINARY_DIR}/fovea-config-version.cmake
        DESTINATION ${package_dir})

# Relative, so that `cmake --install --prefix` and moved trees stay right.
file(RELATIVE_PATH FOVEA_PC_TO_PREFIX /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
configure_file(cmake/fovea.pc.in ${PROJECT_BINARY_DIR}/fovea.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fovea.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
