# Sizes of device memory, camera files without a picture size, SPZ axes.
fv_test(gs/test_frame LABELS gpu)
fv_test(app/test_cli_inputs LABELS app)
target_link_libraries(app_test_cli_inputs PRIVATE fovea_app)
# Standard input and output.
fv_test(app/test_cli_pipes LABELS app one)
target_link_libraries(app_test_cli_pipes PRIVATE fovea_app)
