# Weight files.
fv_test(vk/nn/test_safetensors LABELS cpu)
