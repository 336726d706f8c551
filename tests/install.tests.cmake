# Programs with the library; what is installed.
fv_test(app/test_examples LABELS app one)
target_compile_definitions(app_test_examples PRIVATE FOVEA_EXAMPLES="${PROJECT_BINARY_DIR}/examples")
add_dependencies(app_test_examples render_scene decode_stream generate_clip)
if(NOT FOVEA_SANITIZE)
  add_test(NAME install COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install.sh ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR})
  set_tests_properties(install PROPERTIES LABELS "app;one" TIMEOUT 300 ENVIRONMENT "FOVEA_TUNE=0")
endif()
