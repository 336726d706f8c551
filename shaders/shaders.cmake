# Every shader and its variants: fv_shader(FILE [VARIANT name "glslc flags"]...).

fv_shader(vk/probe)
