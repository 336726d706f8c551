/* Any bytes as a .ply of anchors, or as the tensors of a model; what is accepted is decoded. */
#include "fuzz.h"
#include "neural/read.h"

#include <string.h>

enum { HASH = 953344 };

static void use(struct nl_model *m)
{
    struct nl_encoded e;
    struct nl_gaussians g;
    const double eye[3] = {0.1, 0.2, -3};
    if (m->count > 2000 || nl_encode(m, NULL, &e) < 0)
        return;
    if (nl_decode(m, &e, eye, 0, &g) == 0) {
        fuzz_check(g.count <= g.rows && g.rows == m->count * m->offsets);
        nl_gaussians_finish(&g);
    }
    nl_encoded_finish(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float hash[HASH];
    struct nl_model m = {0};
    struct nl_reader r = {.name = "fuzz", .m = &m, .prefix = {""}};
    if (size > 3 && !memcmp(data, "ply", 3)) {
        if (nl_read_ply(&m, data, size, "fuzz") == 0)
            fuzz_check(m.feature && m.position);
        nl_finish(&m);
        return 0;
    }
    if (nn_file_parse(&r.file[0], data, size, "fuzz", NULL) < 0)
        return 0;
    r.files = 1;
    if (nl_read_anchors(&r) == 0 &&
        nl_read_weights(&r, &(struct nl_open_opts){hash, HASH}) == 0 && nl_check(&m, "fuzz") == 0)
        use(&m);
    nl_reader_close(&r);
    nl_finish(&m);
    return 0;
}
