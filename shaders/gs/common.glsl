// Shared by the splat kernels: extensions, reading through texel buffers or storage buffers.
//
// With TEX, big read-only operands are texel buffers: on CPU drivers a fetch is a branch-free
// gather, 2-4 times faster than a storage-buffer load. Without it (texel buffers too small, or
// a GPU that does not care) the same names are storage buffers.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_samplerless_texture_functions : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require
#include "gs/params.h"

#ifdef TEX
#define IN_VEC4(slot, name) layout(binding = slot) uniform textureBuffer name;
#define IN_UVEC4(slot, name) layout(binding = slot) uniform utextureBuffer name;
#define IN_UVEC2(slot, name) layout(binding = slot) uniform utextureBuffer name;
#define IN_UINT(slot, name) layout(binding = slot) uniform utextureBuffer name;
#define LD4(name, i) texelFetch(name, int(i))
#define LD2(name, i) texelFetch(name, int(i)).xy
#define LD1(name, i) texelFetch(name, int(i)).x
#else
#define IN_VEC4(slot, name) layout(binding = slot) readonly buffer name##_ { vec4 name[]; };
#define IN_UVEC4(slot, name) layout(binding = slot) readonly buffer name##_ { uvec4 name[]; };
#define IN_UVEC2(slot, name) layout(binding = slot) readonly buffer name##_ { uvec2 name[]; };
#define IN_UINT(slot, name) layout(binding = slot) readonly buffer name##_ { uint name[]; };
#define LD4(name, i) name[i]
#define LD2(name, i) name[i]
#define LD1(name, i) name[i]
#endif

#ifdef EXACT
#define RECORD 3u // vec4 of a projected Gaussian (project.comp)
#else
#define RECORD 2u
#endif

// Index of a workgroup where there may be more than the 65535 a dimension holds (gs_dispatch
// then uses two, and the last ones have nothing to do).
#define GROUP_ID (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)

// alpha = 2^x for x in [-8,0]. The fast form is ((q*q + EXP_B)^2)^..., EXP_K squarings, with
// q = EXP_S * x + EXP_0: a quadratic fit of 2^(x/8), weighted so that alpha is off by at most 0.002;
// scale and shift are folded into the conic and the log-opacity by project.comp.
// tests/gs/test_raster.c checks the fit.
#if defined(WIDE) // GPUs have the instruction
#define EXP_S 1.0
#define EXP_0 0.0
#elif defined(EXACT)
#define EXP_K 4
#define EXP_S 0.0187371028
#define EXP_0 0.508812053
#define EXP_A 0.559092034
#define EXP_B 0.647259336
#define EXP_C 0.00157244236
#else
#define EXP_K 3
#define EXP_S 0.0545494277
#define EXP_0 0.782676387
#define EXP_B 0.387184446
#endif
#define LOG2_255 7.99435344
#define Q_CUT (EXP_S * -LOG2_255 + EXP_0)
