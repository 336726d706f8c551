/* For tests: ONNX's single-node cases (a model.onnx with weights, inputs and outputs beside it).
 *
 *     struct onnx_case c;
 *     if (onnx_load(&c, "test_Conv3d_stride_padding")) {
 *         ... c.input[0], c.weight[0], onnx_ints(&c, "strides", list, 3) ...
 *         onnx_free(&c);
 *     }
 */
#ifndef ONNX_H
#define ONNX_H

#include "ref/ref.h"

#include <stdbool.h>

enum { ONNX_MOST = 8 };

struct onnx_case {
    struct ref input, output;     /* of data set 0 */
    struct ref weight[ONNX_MOST]; /* initialisers, in the order of the file */
    uint32_t weights;
    char op[64]; /* of the first node */
    struct {
        char name[32];
        int64_t ints[16]; /* a single one too */
        uint32_t count;
    } attribute[ONNX_MOST];
    uint32_t attributes;
};

/* false: the case is not on this machine. A file that cannot be read fails the test. */
bool onnx_load(struct onnx_case *c, const char *name);
void onnx_free(struct onnx_case *c);
/* An attribute's numbers, at most room; returns how many there are. */
uint32_t onnx_ints(const struct onnx_case *c, const char *name, uint32_t *out, uint32_t room);

#endif
