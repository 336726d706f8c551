# libfovea: every room but app/, as one static and one shared library, with pkg-config.

get_property(rooms GLOBAL PROPERTY FOVEA_ROOMS)
set(objects "")
foreach(room ${rooms})
  list(APPEND objects $<TARGET_OBJECTS:${room}>)
endforeach()
set(libfovea_deps Vulkan::Vulkan PkgConfig::CJSON PkgConfig::ZSTD PkgConfig::ZLIB
    PkgConfig::WEBP PkgConfig::SENTENCEPIECE Threads::Threads stdc++ m)

add_library(fovea_static STATIC ${objects})
add_library(fovea_shared SHARED ${objects})
set_target_properties(fovea_static fovea_shared PROPERTIES OUTPUT_NAME fovea LINKER_LANGUAGE C)
set_target_properties(fovea_shared PROPERTIES VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_libraries(fovea_static PUBLIC ${libfovea_deps})
target_link_libraries(fovea_shared PRIVATE ${libfovea_deps})
if(FOVEA_HOT_RELOAD)
  target_link_libraries(fovea_static PUBLIC Shaderc::Shaderc)
  target_compile_definitions(fovea_static PUBLIC FOVEA_HOT_RELOAD=1)
  target_link_libraries(fovea_shared PRIVATE Shaderc::Shaderc)
endif()

configure_file(cmake/fovea.pc.in fovea.pc @ONLY)
install(TARGETS fovea_static fovea_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/fovea.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# Headers keep their room path: #include <fovea/gs/gs.h> with -I<prefix>/include/fovea.
foreach(dir vk/base vk vk/nn vae diffusion quant gs neural)
  file(GLOB headers ${PROJECT_SOURCE_DIR}/${dir}/*.h)
  if(dir MATCHES "^(gs|vae|diffusion|quant|neural)$")
    set(headers ${PROJECT_SOURCE_DIR}/${dir}/${dir}.h)
  endif()
  if(dir STREQUAL "gs")
    list(APPEND headers ${PROJECT_SOURCE_DIR}/gs/queen.h) # a part of gs.h
  endif()
  list(FILTER headers EXCLUDE REGEX "(private|nn/op)\\.h$")
  install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea/${dir})
endforeach()
