# Tests of vk/ and vk/base/.
fv_test(vk/test_cmd LABELS gpu)
