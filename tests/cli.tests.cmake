# Sizes of device memory, camera files without a picture size, SPZ axes.
fv_test(gs/test_frame LABELS gpu)
