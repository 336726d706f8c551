# QUEEN's frames: reference outputs through fovea check.
fv_test(app/test_check_queen LABELS app gpu)
# The CPU twins and the coder; the kernels against them; QUEEN's pickles.
fv_test(gs/test_queen LABELS cpu)
fv_test(gs/test_queen_gpu LABELS gpu)
fv_test(gs/test_queen_read LABELS cpu)
