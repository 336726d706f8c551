# Scenes: .ply, .compressed.ply, .splat, .ksplat, detection, edits.
fv_test(gs/test_ply LABELS cpu)
fv_test(gs/test_compressed_ply LABELS cpu)
fv_test(gs/test_splat LABELS cpu)
fv_test(gs/test_ksplat LABELS cpu)
fv_test(gs/test_edit LABELS cpu)
fv_test(gs/test_load LABELS cpu)
# .spz, .sog, .glb and what they are made of.
fv_test(gs/test_blob LABELS cpu)
fv_test(gs/test_kmeans LABELS cpu)
fv_test(gs/test_spz LABELS cpu)
fv_test(gs/test_sog LABELS cpu)
fv_test(gs/test_gltf LABELS cpu)
fv_test(gs/test_cross_format LABELS cpu)
