# Job files; many jobs by the real binary.
fv_test(app/test_batch_jobs LABELS cpu)
target_link_libraries(app_test_batch_jobs PRIVATE fovea_app)
