# The quantiser: its mathematics and packings; the command itself.
fv_test(quant/test_layer LABELS cpu)
fv_test(quant/test_nunchaku LABELS cpu)
fv_test(app/test_quantize_cli LABELS app gpu one)
