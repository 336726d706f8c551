# The transformer and its sampler, the text encoder, on a random tiny model; the numbers themselves are judged by
# golden cases (app_test_check_nn).
fv_test(diffusion/test_stdit3 LABELS gpu)
fv_test(diffusion/test_sample LABELS gpu)
fv_test(diffusion/test_t5 LABELS gpu)
fv_test(diffusion/test_clip LABELS gpu)
fv_test(diffusion/test_tokenizer LABELS cpu)
fv_test(diffusion/test_caption LABELS cpu)
fv_test(diffusion/test_sizes LABELS cpu)
fv_test(diffusion/test_reference LABELS cpu)
fv_test(app/test_bench_dit LABELS app gpu)
target_compile_definitions(app_test_bench_dit PRIVATE FOVEA_MAKE_STDIT3="$<TARGET_FILE:make_stdit3>")
add_dependencies(app_test_bench_dit make_stdit3)
