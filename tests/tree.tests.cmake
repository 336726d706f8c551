add_test(NAME tree COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/check_tree.py)
set_tests_properties(tree PROPERTIES LABELS cpu)
