# libfovea: every room but app/, as one static and one shared library, with headers, pkg-config and a
# CMake package.

get_property(rooms GLOBAL PROPERTY FOVEA_ROOMS)
set(objects "")
foreach(room ${rooms})
  list(APPEND objects $<TARGET_OBJECTS:${room}>)
endforeach()
set(libfovea_deps Vulkan::Vulkan PkgConfig::CJSON PkgConfig::ZSTD PkgConfig::ZLIB
    PkgConfig::WEBP PkgConfig::SENTENCEPIECE Threads::Threads stdc++ m)

# Headers keep their room path: #include "gs/gs.h" with -I<prefix>/include/fovea.
set(public_headers "")
foreach(dir vk/base vk vk/nn)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/${dir}/*.h)
  list(FILTER headers EXCLUDE REGEX "(private|nn/op|nn/conv|nn/layout|nn/order|nn/product|nn/tune)\\.h$")
  list(APPEND public_headers ${headers})
endforeach()
list(APPEND public_headers gs/gs.h gs/player.h gs/queen.h neural/neural.h vae/vae.h diffusion/diffusion.h quant/quant.h)

# What they name, and nothing else, is exported.
set(names "")
foreach(header ${public_headers})
  file(STRINGS ${PROJECT_SOURCE_DIR}/${header} lines REGEX "(fv|vk|nn|vae|df|qt|gs|nl)_[a-z0-9_]+")
  string(REGEX MATCHALL "(fv|vk|nn|vae|df|qt|gs|nl)_[a-z0-9_]+" found "${lines}")
  list(APPEND names ${found})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
endforeach()
list(REMOVE_DUPLICATES names)
list(SORT names)
list(JOIN names ";\n    " names)
set(exports ${PROJECT_BINARY_DIR}/libfovea.map)
file(CONFIGURE OUTPUT ${exports} @ONLY CONTENT "{\n  global:\n    @names@;\n  local:\n    *;\n};\n")

add_library(fovea_static STATIC ${objects})
add_library(fovea_shared SHARED ${objects})
set_target_properties(fovea_static fovea_shared PROPERTIES OUTPUT_NAME fovea LINKER_LANGUAGE C)
# Before 1.0 every minor version may change what is exported.
set_target_properties(fovea_shared PROPERTIES VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                      LINK_DEPENDS ${exports})
target_link_options(fovea_shared PRIVATE -Wl,--version-script=${exports} -Wl,-Bsymbolic-functions)
target_link_libraries(fovea_static PUBLIC ${libfovea_deps})
target_link_libraries(fovea_shared PRIVATE ${libfovea_deps})
if(FOVEA_HOT_RELOAD)
  target_link_libraries(fovea_static PUBLIC Shaderc::Shaderc)
  target_compile_definitions(fovea_static PUBLIC FOVEA_HOT_RELOAD=1)
  target_link_libraries(fovea_shared PRIVATE Shaderc::Shaderc)
endif()

include(CMakePackageConfigHelpers)
# From lib/pkgconfig, or lib/x86_64-linux-gnu/pkgconfig, to where it is installed.
file(RELATIVE_PATH fovea_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" fovea_up "${fovea_up}")
configure_file(cmake/fovea.pc.in fovea.pc @ONLY)
configure_file(cmake/foveaConfig.cmake.in foveaConfig.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(TARGETS fovea_static fovea_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib NAMELINK_COMPONENT dev)
install(FILES ${PROJECT_BINARY_DIR}/fovea.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
install(FILES ${PROJECT_BINARY_DIR}/foveaConfig.cmake ${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea COMPONENT dev)
foreach(header ${public_headers})
  cmake_path(GET header PARENT_PATH dir)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea/${dir} COMPONENT dev)
endforeach()
