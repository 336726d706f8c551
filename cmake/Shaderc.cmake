# libshaderc for hot reload, as the target Shaderc::Shaderc.
#
# Static on purpose: Debian 12's libshaderc.so.1 was linked without parts of glslang, and a
# program linked to it fails on undefined symbols. Its libshaderc_combined.a leaves glslang and
# SPIRV-Tools to their own archives; an upstream build of it contains them, so those are optional.

find_library(SHADERC_COMBINED NAMES libshaderc_combined.a REQUIRED)
set(shaderc_libs ${SHADERC_COMBINED})
foreach(lib glslang MachineIndependent GenericCodeGen OSDependent OGLCompiler SPIRV
        glslang-default-resource-limits SPIRV-Tools-opt SPIRV-Tools)
  find_library(SHADERC_${lib} NAMES lib${lib}.a)
  mark_as_advanced(SHADERC_${lib})
  if(SHADERC_${lib})
    list(APPEND shaderc_libs ${SHADERC_${lib}})
  endif()
endforeach()
add_library(Shaderc::Shaderc INTERFACE IMPORTED)
target_link_libraries(Shaderc::Shaderc INTERFACE ${shaderc_libs} stdc++ m Threads::Threads)
