fv_test(gs/test_raster LABELS gpu)
fv_test(gs/test_sort LABELS gpu)
