# Shaders: GLSL compute -> SPIR-V by glslc -> C arrays, one table of name -> words.
#
# fv_shader(FILE [VARIANT name "-DX=1 ..."]...) compiles shaders/FILE.comp once per variant.
# The table name is "FILE" without variants, else "FILE.variant". shaders/CMakeLists.cmake
# lists them; nothing is loaded from disk in a release build.

find_program(GLSLC glslc REQUIRED)

# At most four at once: one unrolled kernel takes up to 3 GB to compile.
set_property(GLOBAL APPEND PROPERTY JOB_POOLS shaders=4)

add_executable(embed ${PROJECT_SOURCE_DIR}/tools/embed.c)
target_link_libraries(embed PRIVATE PkgConfig::ZSTD)

set(FOVEA_SPIRV "" CACHE INTERNAL "")
set(FOVEA_SPIRV_FILES "" CACHE INTERNAL "")

function(fv_shader_one file name flags)
  set(source ${PROJECT_SOURCE_DIR}/shaders/${file}.comp)
  set(spv ${PROJECT_BINARY_DIR}/spirv/${name}.spv)
  get_filename_component(dir ${spv} DIRECTORY)
  file(MAKE_DIRECTORY ${dir})
  separate_arguments(flag_list UNIX_COMMAND "${flags}")
  add_custom_command(OUTPUT ${spv}
    COMMAND ${GLSLC} -O --target-env=vulkan1.3 -I ${PROJECT_SOURCE_DIR}/shaders ${flag_list}
            -MD -MF ${spv}.d -o ${spv} ${source}
    DEPENDS ${source} DEPFILE ${spv}.d COMMENT "glslc ${name}" JOB_POOL shaders VERBATIM)
  set(FOVEA_SPIRV "${FOVEA_SPIRV};${name}|${file}|${flags}|${spv}" CACHE INTERNAL "")
  set(FOVEA_SPIRV_FILES "${FOVEA_SPIRV_FILES};${spv}" CACHE INTERNAL "")
endfunction()

function(fv_shader file)
  list(LENGTH ARGN n)
  if(n EQUAL 0)
    fv_shader_one(${file} ${file} "")
    return()
  endif()
  math(EXPR last "${n} - 1")
  foreach(i RANGE 0 ${last} 3)
    math(EXPR j "${i} + 1")
    math(EXPR k "${i} + 2")
    list(GET ARGN ${j} variant)
    list(GET ARGN ${k} flags)
    fv_shader_one(${file} ${file}.${variant} "${flags}")
  endforeach()
endfunction()

function(fv_shaders target)
  set(FOVEA_SPIRV "" CACHE INTERNAL "")
  set(FOVEA_SPIRV_FILES "" CACHE INTERNAL "")
  include(${PROJECT_SOURCE_DIR}/shaders/shaders.cmake)
  set(table ${PROJECT_BINARY_DIR}/spirv/shader_table.c)
  string(REPLACE ";" "\n" lines "${FOVEA_SPIRV}")
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/spirv/list.txt CONTENT "${lines}\n")
  add_custom_command(OUTPUT ${table}
    COMMAND embed ${PROJECT_BINARY_DIR}/spirv/list.txt ${table}
    DEPENDS embed ${FOVEA_SPIRV_FILES} ${PROJECT_BINARY_DIR}/spirv/list.txt
    COMMENT "Embedding SPIR-V" VERBATIM)
  add_library(${target} STATIC ${table})
  fv_compile_flags(${target})
  set_property(GLOBAL APPEND PROPERTY FOVEA_ROOMS ${target})
endfunction()
