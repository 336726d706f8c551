# Matrix products and attention: the device's own width, and lavapipe's other widths.
foreach(name matmul matrix attention)
  fv_test(vk/nn/test_${name} LABELS gpu TIMEOUT 600)
  add_test(NAME vk_nn_test_${name}_512 COMMAND vk_nn_test_${name})
  set_tests_properties(vk_nn_test_${name}_512 PROPERTIES LABELS "gpu;width" SKIP_RETURN_CODE 77 TIMEOUT 600
    ENVIRONMENT "LP_NATIVE_VECTOR_WIDTH=512")
endforeach()
