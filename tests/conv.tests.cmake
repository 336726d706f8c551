# Tests of convolutions and norms (vk/nn/).
foreach(name conv norm)
  fv_test(vk/nn/test_${name} LABELS gpu)
endforeach()
