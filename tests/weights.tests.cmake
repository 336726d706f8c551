# Weight files.
fv_test(vk/nn/test_safetensors LABELS cpu)
fv_test(vk/nn/test_checkpoint LABELS cpu)
fv_test(vk/nn/test_gguf LABELS cpu)
fv_test(vk/nn/test_weights LABELS gpu)
fv_test(app/test_info_weights LABELS app)
