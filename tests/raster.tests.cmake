fv_test(gs/test_raster LABELS gpu)
