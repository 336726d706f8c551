# fv_room(NAME DIR dir DEPS a b c): one static library per room, built from dir/*.c and
# dir/*.cpp (shims of C++ libraries behind C headers).
# The DEPS list is the whole of what the room may link; tools/check_tree.py holds the
# same table for the #include lines.

set(FOVEA_WARNINGS -Wall -Wextra -Wshadow -Wpointer-arith -Wvla -Wno-missing-field-initializers
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>)
if(FOVEA_WERROR)
  list(APPEND FOVEA_WARNINGS -Werror)
endif()

# vptr: of C++ libraries that were built without it, and programs are linked as C.
if(FOVEA_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer
                      -fno-sanitize-recover=undefined
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=vptr>)
  add_link_options(-fsanitize=address,undefined)
endif()
if(FOVEA_FUZZ)
  add_compile_definitions(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
                      -fno-sanitize-recover=undefined
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=vptr>)
  add_link_options(-fsanitize=address,undefined)
endif()

# -ffp-contract=off: results must not depend on whether a compiler fuses a*b+c.
function(fv_compile_flags target)
  target_compile_options(${target} PRIVATE ${FOVEA_WARNINGS} -ffp-contract=off)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE FOVEA_VERSION="${PROJECT_VERSION}")
endfunction()

function(fv_room name)
  cmake_parse_arguments(R "" "DIR" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${R_DIR}/*.c
       ${PROJECT_SOURCE_DIR}/${R_DIR}/*.cpp)
  add_library(${name} STATIC ${sources})
  fv_compile_flags(${name})
  # What public headers declare is exported by libfovea.so (Library.cmake); nobody replaces it there.
  set_target_properties(${name} PROPERTIES C_VISIBILITY_PRESET default)
  target_compile_options(${name} PRIVATE -fno-semantic-interposition)
  target_link_libraries(${name} PUBLIC ${R_DEPS})
  set_property(GLOBAL APPEND PROPERTY FOVEA_ROOMS ${name})
endfunction()
