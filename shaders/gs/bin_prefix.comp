#version 460
// Lane = bin: exclusive prefix over the lanes' private counters (in place), and the bin's total.
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
layout(binding = 0) buffer Count { uint count[]; }; // [lane][bin]
layout(binding = 1) writeonly buffer Total { uint total[]; };
layout(push_constant) uniform Push { gs_bin_push pc; };

void main()
{
    uint bin = gl_GlobalInvocationID.x, run = 0u;
    bool ok = bin < pc.bins;
    bin = min(bin, pc.bins - 1u);
    for (uint l = 0u; l < pc.lanes; l += 4u) {
        uint v[4];
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            v[k] = count[(l + k) * pc.bins + bin];
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            if (ok)
                count[(l + k) * pc.bins + bin] = run;
            run += v[k];
        }
    }
    if (ok)
        total[bin] = run;
}
