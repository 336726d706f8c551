#version 460
// Cuts the depth range into slices of at most pc.capacity Gaussians each: ctl[GS_CTL_SLICE + i]
// is slice i's first key, from a histogram of 1024 bins. One invocation.   C: raster.c
#include "gs/common.glsl"
layout(local_size_x = 1) in;
layout(binding = 0) uniform Params { gs_params p; };
layout(binding = 1) readonly buffer Histogram { uint histogram[]; };
layout(binding = 2) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_project_push pc; };

void main()
{
    uint slice = 0u, held = 0u, shift = uint(findMSB(p.depth.z) - 9);
    ctl[GS_CTL_SLICE] = 0u;
    for (uint b = 0u; b < 1024u; b++) {
        uint n = histogram[b];
        if (held > 0u && held + n > pc.capacity && slice + 2u < pc.count) {
            slice++;
            ctl[GS_CTL_SLICE + slice] = b << shift;
            held = 0u;
        }
        held += n;
    }
    // the rest, empty slices too, end past the largest key
    for (uint i = slice + 1u; i <= pc.count; i++)
        ctl[GS_CTL_SLICE + i] = p.depth.z + 1u;
}
