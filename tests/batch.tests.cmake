# Job files; many jobs by the real binary.
fv_test(app/test_batch_jobs LABELS cpu)
target_link_libraries(app_test_batch_jobs PRIVATE fovea_app)
fv_test(app/test_batch_cli LABELS app gpu one TIMEOUT 600)
target_link_libraries(app_test_batch_cli PRIVATE fovea_app)
