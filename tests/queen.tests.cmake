# QUEEN's frames: reference outputs through fovea check.
fv_test(app/test_check_queen LABELS app gpu)
