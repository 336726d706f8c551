/* Training folders of anchors for tests (tools/make_neural.c). */
#ifndef TEST_NEURAL_H
#define TEST_NEURAL_H

/* Makes one of a kind ("scaffold", "bank", "sags") by the tool, which stands beside fovea; its path,
 * valid until the eighth test_tmp_path after it. */
const char *test_neural(const char *kind, unsigned count);
/* The folder with the .ply and the networks. */
const char *test_neural_files(const char *folder);

#endif
