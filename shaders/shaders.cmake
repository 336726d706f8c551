# Every shader and its variants: fv_shader(FILE [VARIANT name "glslc flags"]...).

fv_shader(vk/probe)
fv_shader(vk/probe_texel)
fv_shader(vk/probe_subgroup)
fv_shader(vk/probe_args)
