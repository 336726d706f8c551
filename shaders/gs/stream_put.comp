#version 460
// Rows of a stream's state that changed otherwise than by a cluster's motion: an invocation a vec4.
//   C: stream_gpu.c
#extension GL_GOOGLE_include_directive : require
#include "gs/stream_params.h"
layout(local_size_x = GS_STREAM_GROUP) in;
layout(constant_id = 0) const uint QUADS = 3; // of a row
layout(binding = 0) readonly buffer Row { uint row[]; };
layout(binding = 1) readonly buffer Value { ivec4 value[]; };
layout(binding = 2) writeonly buffer State { ivec4 state[]; };
layout(push_constant) uniform Push { gs_stream_list_push pc; };

void main()
{
    uint id = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * GS_STREAM_GROUP +
              gl_LocalInvocationID.x;
    if (id < pc.count * QUADS)
        state[row[id / QUADS] * QUADS + id % QUADS] = value[id];
}
