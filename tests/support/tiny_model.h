/* A whole text-to-video model of random weights, from the golden folders. */
#ifndef TEST_TINY_MODEL_H
#define TEST_TINY_MODEL_H

/* A folder of the test's own, made by the first call; NULL: there are no golden folders. */
char *test_tiny_model(void);

#endif
