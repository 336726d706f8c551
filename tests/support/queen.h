/* For tests: QUEEN frames of random contents, and their pickles as QUEEN writes them. */
#ifndef TEST_QUEEN_H
#define TEST_QUEEN_H

#include "support/scene.h"

struct test_queen {
    uint32_t before, count; /* Gaussians of the frame before and of this one */
    int sh_degree;
    /* One letter for each of f_dc, f_rest, sc, rot, op: k(ept), p(lain), a(bsolute), r(esidual); A
     * and R with latents that are added to the parents'. NULL = "rarrr", as QUEEN's own. */
    const char *kinds;
    uint32_t hidden; /* layers before the last, of 10 */
    enum gs_queen_activation activation, final_activation;
    bool dft;       /* op has a dft layer */
    bool divide;    /* by numbers other than 1 */
    bool positions; /* all of them, not a few that move */
    uint64_t seed;
};

/* Freed by gs_queen_frame_finish. Rows come from random parents when the counts differ, or with
 * before = 0 the same as count, from nowhere else. */
struct gs_queen_frame test_queen_frame(const struct test_queen *t);
/* The frame as a pickle: what gs_queen_parse makes of it is equal, but for positions that move,
 * which are rounded to ten-thousandths. */
struct test_bytes test_queen_pickle(const struct gs_queen_frame *f);

#endif
