# The viewer's tests; the window ones bring their own X server (Xvfb) and are skipped without it.
if(FOVEA_VIEWER)
  foreach(file pace path_edit camera_control)
    fv_test(app/test_${file} LABELS cpu)
    target_link_libraries(app_test_${file} PRIVATE fovea_app)
  endforeach()
endif()
