# The quantiser: its mathematics and packings; the command itself.
fv_test(quant/test_layer LABELS cpu)
