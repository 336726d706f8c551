# Scenes: .ply, .compressed.ply, .splat, .ksplat, detection, edits.
fv_test(gs/test_ply LABELS cpu)
fv_test(gs/test_compressed_ply LABELS cpu)
fv_test(gs/test_splat LABELS cpu)
fv_test(gs/test_ksplat LABELS cpu)
fv_test(gs/test_edit LABELS cpu)
fv_test(gs/test_load LABELS cpu)
