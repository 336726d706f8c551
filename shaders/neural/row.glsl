// Products of ROWS rows of a network, one behind the other from `at` on, with ROW_VECTORS vectors that each
// invocation has of its own (of ROW_QUADS vec4, of which Q are used). Rows are the same for all: with SG (a
// workgroup is one subgroup of so many invocations) each fetches a part of the rows and shuffles spread
// it, once for all vectors; without, all read all. Include after `net` and the constants are declared; in
// uniform control flow only.
#ifndef ROWS
#define ROWS 1u
#endif
#ifdef SG
#define LANE gl_LocalInvocationID.x
#define PARTS ((ROWS * ROW_QUADS + SG - 1) / SG)
#endif

void row_dots(uint at, vec4 x[ROW_VECTORS][ROW_QUADS], out float y[ROWS][ROW_VECTORS])
{
#ifdef SG
    vec4 part[PARTS];
    [[unroll]] for (uint p = 0u; p < PARTS; p++)
        if (p * SG < ROWS * Q)
            part[p] = LD4(net, at + min(p * SG + LANE, ROWS * Q - 1u));
#endif
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        float even[ROW_VECTORS], odd[ROW_VECTORS];
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
            even[v] = odd[v] = 0.0;
        [[unroll]] for (uint q = 0u; q < ROW_QUADS; q += 2u)
            if (q < Q) {
                uint i = r * Q + q, j = r * Q + min(q + 1u, Q - 1u);
#ifdef SG
                vec4 a = subgroupShuffle(part[i / SG], i % SG), b = subgroupShuffle(part[j / SG], j % SG);
#else
                vec4 a = LD4(net, at + i), b = LD4(net, at + j);
#endif
                [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
                    even[v] += dot(a, x[v][q]);
                    if (q + 1u < Q)
                        odd[v] += dot(b, x[v][q + 1u]);
                }
            }
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
            y[r][v] = even[v] + odd[v];
    }
}
