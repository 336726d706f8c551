# Scenes: .spz, .sog, .glb and what they are made of.
fv_test(gs/test_zip LABELS cpu)
fv_test(gs/test_kmeans LABELS cpu)
fv_test(gs/test_spz LABELS cpu)
fv_test(gs/test_sog LABELS cpu)
fv_test(gs/test_gltf LABELS cpu)
fv_test(gs/test_cross_format LABELS cpu)
