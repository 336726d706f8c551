# Tests of vk/nn/: each op against its double-precision twin in tests/ref.
foreach(name elementwise layout rec noise resample embed onnx tune)
  fv_test(vk/nn/test_${name} LABELS gpu)
endforeach()
