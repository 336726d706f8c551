# Reference renderer, cameras, .npy and picture metrics.
fv_test(vk/base/test_npy LABELS cpu)
fv_test(gs/test_reference LABELS cpu)
fv_test(gs/test_cameras_load LABELS cpu)
fv_test(gs/test_camera LABELS cpu)
fv_test(gs/test_camera_path LABELS cpu)
