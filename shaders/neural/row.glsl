// Products of a network's rows with ROW_VECTORS vectors that each invocation has of its own (of ROW_QUADS
// vec4, of which Q are used). Rows are the same for all: with SG (a workgroup is one subgroup of so many
// invocations) each fetches a part of a row and shuffles spread it, once for all vectors; without, all
// read all. Include after `net` and the constants are declared; in uniform control flow only.
#ifdef SG
#define LANE gl_LocalInvocationID.x
#define PARTS ((ROW_QUADS + SG - 1) / SG)
#endif

void row_dots(uint at, vec4 x[ROW_VECTORS][ROW_QUADS], out float y[ROW_VECTORS])
{
    float even[ROW_VECTORS], odd[ROW_VECTORS];
    [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
        even[v] = odd[v] = 0.0;
#ifdef SG
    vec4 part[PARTS];
    [[unroll]] for (uint p = 0u; p < PARTS; p++)
        if (p * SG < Q)
            part[p] = LD4(net, at + min(p * SG + LANE, Q - 1u));
#endif
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q += 2u)
        if (q < Q) {
#ifdef SG
            vec4 a = subgroupShuffle(part[q / SG], q % SG);
            vec4 b = subgroupShuffle(part[(q + 1u) / SG], (q + 1u) % SG);
#else
            vec4 a = LD4(net, at + q), b = LD4(net, at + min(q + 1u, Q - 1u));
#endif
            [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
                even[v] += dot(a, x[v][q]);
                if (q + 1u < Q)
                    odd[v] += dot(b, x[v][q + 1u]);
            }
        }
    [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
        y[v] = even[v] + odd[v];
}
