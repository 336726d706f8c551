# Text to video by the real binary.
fv_test(app/test_generate_cli LABELS app gpu one TIMEOUT 600)
target_link_libraries(app_test_generate_cli PRIVATE fovea_app)
fv_test(app/test_generate_demo LABELS app gpu one TIMEOUT 300)
target_link_libraries(app_test_generate_demo PRIVATE fovea_app)
