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
#include "gs/exp_fit.h"
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
#define RECORD 3u // vec4 of a projected Gaussian (project.glsl)
#else
#define RECORD 2u
#endif

// Index of a workgroup where there may be more than the 65535 a dimension holds (gs_dispatch
// then uses two, and the last ones have nothing to do).
#define GROUP_ID (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)

// How project.glsl scales exponents; EXP_LEAST is that of alpha = 1/255.
#if defined(WIDE) // GPUs have the instruction
#define EXP_S 1.0
#define EXP_Q0 0.0
#elif defined(EXACT)
#define EXP_S EXP_EXACT_S
#define EXP_Q0 EXP_EXACT_Q0
#else
#define EXP_S EXP_FAST_S
#define EXP_Q0 EXP_FAST_Q0
#endif
#define LOG2_255 7.99435344
#define EXP_LEAST (EXP_S * -LOG2_255 + EXP_Q0)
