/* Any bytes as a pickle of QUEEN's: a frame that is read is played after a small scene. */
#include "fuzz.h"
#include "gs/gs.h"

#include <string.h>

enum { ROWS = 300 };

static void play(const struct gs_queen_frame *f, int degree)
{
    struct gs_scene s;
    struct gs_queen_latents latents = {0};
    fuzz_check(gs_scene_alloc(&s, ROWS, degree) == 0);
    memset(s.position, 0, ROWS * 3 * sizeof(float));
    memset(s.scale, 0, ROWS * 3 * sizeof(float));
    memset(s.rotation, 0, ROWS * 4 * sizeof(float));
    memset(s.opacity, 0, ROWS * sizeof(float));
    memset(s.sh, 0, ROWS * 3 * (size_t)gs_sh_coefs(degree) * sizeof(float));
    for (int i = 0; i < 2; i++)
        if (gs_queen_apply(&s, &latents, f) == 0)
            fuzz_check(s.count == f->count);
    gs_queen_latents_finish(&latents);
    gs_scene_finish(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gs_queen_frame f;
    if (gs_queen_parse(&f, data, size, "fuzz.pkl") < 0)
        return 0;
    for (int degree = 0; degree <= 3 && f.count < 100000; degree++)
        play(&f, degree);
    gs_queen_frame_finish(&f);
    return 0;
}
