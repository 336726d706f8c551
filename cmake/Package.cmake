# What stands beside the binary and the library when fovea is installed, and the Debian packages:
# fovea (the program), libfovea0.1 (the library for others) and libfovea-dev (headers, examples).
#
#     cmake --build build/release && cd build/release && cpack -G DEB
#     scripts/package-test        # the same, installed, run and removed in a fresh Debian

set(share ${CMAKE_INSTALL_DATADIR})
set(CPACK_COMPONENTS_ALL runtime lib dev)
install(FILES packaging/fovea.desktop DESTINATION ${share}/applications)
install(FILES packaging/fovea-mime.xml DESTINATION ${share}/mime/packages RENAME fovea.xml)
install(FILES packaging/fovea.svg DESTINATION ${share}/icons/hicolor/scalable/apps)
foreach(size 16 32 48 64 128 256)
  install(FILES packaging/fovea-${size}.png DESTINATION ${share}/icons/hicolor/${size}x${size}/apps RENAME fovea.png)
endforeach()

# Where the binary looks for them (app/model_in.c), and the scenes that the documentation uses.
install(DIRECTORY assets/models assets/scenes assets/streams DESTINATION ${share}/fovea)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
set(lib_package libfovea${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(packages fovea ${lib_package} libfovea-dev)
set(changelog ${PROJECT_BINARY_DIR}/doc/changelog.gz)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/doc)
execute_process(COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/packaging/changelog OUTPUT_FILE ${changelog})
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS packaging/changelog)
foreach(package component IN ZIP_LISTS packages CPACK_COMPONENTS_ALL)
  install(FILES packaging/copyright ${changelog} DESTINATION ${share}/doc/${package} COMPONENT ${component})
endforeach()
install(FILES assets/fonts/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.Roboto)

set(CPACK_PACKAGE_NAME fovea)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "free-viewpoint video and generated video on Vulkan compute")
set(CPACK_PACKAGE_CONTACT "the authors of fovea <fovea@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME fovea)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "mesa-vulkan-drivers")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "ffmpeg")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "Opens trained 3D Gaussian splatting scenes, renders them along camera paths to
 video, shows them in a window, turns moving scenes into streams of a few
 kilobytes a frame, and makes video of text. Runs on any Vulkan 1.3 device,
 Mesa's CPU driver too.")

set(CPACK_DEBIAN_LIB_PACKAGE_NAME ${lib_package})
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIB_DESCRIPTION "The library that programs with fovea's scenes, streams and models are linked
 with; fovea itself carries it within.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libfovea-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${lib_package} (= ${PROJECT_VERSION}), libvulkan-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS
    "libcjson-dev, libzstd-dev, zlib1g-dev, libwebp-dev, libsentencepiece-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION "For programs in C: scenes, streams and their renderer, video autoencoders and text to video:
 headers, shared and static library, pkg-config and CMake files, examples.")
include(CPack)
