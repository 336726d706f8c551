# The documentation against the program: JSON, reference pages, tutorial.
fv_test(app/test_json LABELS app one)
fv_test(app/test_reference LABELS app one)
target_link_libraries(app_test_reference PRIVATE fovea_app)
# Three quarters of a minute of the processor; it views, too.
if(FOVEA_VIEWER AND NOT FOVEA_SANITIZE)
  fv_test(app/test_tutorial LABELS app one TIMEOUT 900)
endif()
