# Tests of vk/ and vk/base/.
foreach(name err arena file json half thread zip pickle)
  fv_test(vk/base/test_${name} LABELS cpu)
endforeach()
fv_test(vk/test_spirv LABELS cpu)
fv_test(vk/test_specialise LABELS cpu)
foreach(name device disk mem pipe cmd hazard prof xfer reload)
  fv_test(vk/test_${name} LABELS gpu)
endforeach()
