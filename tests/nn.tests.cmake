# Tests of vk/nn/: each op against its double-precision twin in tests/ref.
