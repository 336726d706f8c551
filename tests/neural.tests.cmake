# Anchors: readers, the graph, the kernels against their twin, the commands.
fv_test(neural/test_open LABELS cpu)
fv_test(neural/test_graph LABELS cpu)
fv_test(neural/test_gpu LABELS gpu TIMEOUT 600)
fv_test(neural/test_graph_gpu LABELS gpu)
fv_test(app/test_neural_cli LABELS app gpu one)
foreach(test neural_test_open neural_test_gpu neural_test_graph_gpu app_test_neural_cli)
  add_dependencies(${test} make_neural)
endforeach()
