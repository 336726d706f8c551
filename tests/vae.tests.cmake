# The autoencoders: models by name and plans without a device; pieces against the whole; golden
# cases through fovea check and clips through fovea vae.
fv_test(vae/test_recognise LABELS cpu)
fv_test(vae/test_run LABELS gpu TIMEOUT 900)
fv_test(vk/nn/test_safetensors_write LABELS cpu)
fv_test(app/test_clip LABELS cpu)
target_link_libraries(app_test_clip PRIVATE fovea_app)
fv_test(app/test_check_nn LABELS app gpu TIMEOUT 1200)
fv_test(app/test_vae_cli LABELS app gpu one TIMEOUT 600)
target_link_libraries(app_test_vae_cli PRIVATE fovea_app)
