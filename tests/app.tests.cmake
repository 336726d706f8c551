# The app room. Tests of single files link its library; test_cli runs the real binary.
fv_test(gs/test_metrics LABELS cpu)
foreach(name opt video_out files shots)
  fv_test(app/test_${name} LABELS cpu)
  target_link_libraries(app_test_${name} PRIVATE fovea_app)
endforeach()
fv_test(app/test_cli LABELS app)
target_link_libraries(app_test_cli PRIVATE fovea_app)
