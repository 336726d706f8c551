# .fvv streams: coder, integer arithmetic, files, the command.
fv_test(gs/test_range_coder LABELS cpu)
fv_test(gs/test_stream_state LABELS cpu)
fv_test(gs/test_stream_births LABELS cpu)
fv_test(gs/test_stream_match LABELS cpu)
fv_test(gs/test_stream_queen LABELS cpu)
fv_test(gs/test_stream LABELS gpu)
fv_test(app/test_cli_stream LABELS app)
target_link_libraries(app_test_cli_stream PRIVATE fovea_app)
# From web servers: nginx on the loopback.
fv_test(app/test_http_source LABELS cpu app)
target_link_libraries(app_test_http_source PRIVATE fovea_app)
