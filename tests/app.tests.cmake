# The app room. Tests of single files link its library; test_cli runs the real binary.
fv_test(gs/test_metrics LABELS cpu)
fv_test(app/test_opt LABELS cpu)
fv_test(app/test_video_out LABELS cpu)
foreach(name app_test_opt app_test_video_out)
  target_link_libraries(${name} PRIVATE fovea_app)
endforeach()
