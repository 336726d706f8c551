/* alpha = 2^x for x in [-8,0] without an exponential, which CPU drivers compute slowly: squarings of
 * a polynomial in q = S * x + Q0. Scale and shift are folded into the conic and the log-opacity by
 * project.glsl. Included by C (the test of the fits) and GLSL. */

/* (((q^2 + B)^2)^2)^2: off by at most 0.002. */
#define EXP_FAST_S 0.0545494277
#define EXP_FAST_Q0 0.782676387
#define EXP_FAST_B 0.387184446
#define EXP_FAST_SQUARINGS 3

/* ((q^2 + A)^2 + B q + C) squared four times: off by 6e-6 of the value, rounding included. */
#define EXP_EXACT_S 0.0187371028
#define EXP_EXACT_Q0 0.508812053
#define EXP_EXACT_A 0.559092034
#define EXP_EXACT_B 0.647259336
#define EXP_EXACT_C 0.00157244236
#define EXP_EXACT_SQUARINGS 4
