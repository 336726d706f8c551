// Products of a network's rows with a vector that each invocation has its own of (ROW_QUADS vec4, of
// which Q are used). Rows are the same for all: with SG (a workgroup is one subgroup of so many
// invocations) each fetches a part of a row and shuffles spread it; without, all read all.
// Include after `net` and the constants are declared; in uniform control flow only.
#ifdef SG
#define LANE gl_LocalInvocationID.x
#define PARTS ((ROW_QUADS + SG - 1) / SG)
float row_dot(uint at, vec4 x[ROW_QUADS])
{
    vec4 part[PARTS];
    float even = 0.0, odd = 0.0;
    [[unroll]] for (uint p = 0u; p < PARTS; p++)
        if (p * SG < Q)
            part[p] = LD4(net, at + min(p * SG + LANE, Q - 1u));
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q += 2u)
        if (q < Q) {
            even += dot(subgroupShuffle(part[q / SG], q % SG), x[q]);
            if (q + 1u < Q)
                odd += dot(subgroupShuffle(part[(q + 1u) / SG], (q + 1u) % SG), x[q + 1u]);
        }
    return even + odd;
}
#else
float row_dot(uint at, vec4 x[ROW_QUADS])
{
    float sum = 0.0;
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q++)
        if (q < Q)
            sum += dot(LD4(net, at + q), x[q]);
    return sum;
}
#endif
