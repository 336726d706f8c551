# Every shader and its variants: fv_shader(FILE [VARIANT name "glslc flags"]...).

fv_shader(vk/probe)
fv_shader(vk/probe_texel)
fv_shader(vk/probe_image)
fv_shader(vk/probe_subgroup)
fv_shader(vk/probe_args)

# Splat kernels come as `tex` (reads through texel buffers) and `ssbo` (storage buffers only).
function(fv_splat_shader file)
  set(args "")
  if(ARGN)
    foreach(pair ${ARGN})
      string(REPLACE ":" ";" parts ${pair})
      list(GET parts 0 name)
      list(GET parts 1 flags)
      list(APPEND args VARIANT ${name}.tex "-DTEX=1 ${flags}" VARIANT ${name}.ssbo "${flags}")
    endforeach()
  else()
    set(args VARIANT tex "-DTEX=1" VARIANT ssbo "-DSSBO=1")
  endif()
  fv_shader(${file} ${args})
endfunction()

# Tensor kernels come in the same two forms; fv_nn_shader(FILE ["variant:flags"]...).
macro(fv_nn_shader)
  fv_splat_shader(${ARGN})
endmacro()

foreach(wide "" _wide)
  string(TOUPPER "-DPROJECT${wide}=1" define)
  string(REPLACE "PROJECT_WIDE" "WIDE" define ${define})
  fv_splat_shader(gs/project "packed${wide}:${define}" "exact${wide}:-DEXACT=1 ${define}"
                  "packed_count${wide}:-DCOUNT=1 ${define}" "exact_count${wide}:-DEXACT=1 -DCOUNT=1 ${define}"
                  "packed_histogram${wide}:-DHISTOGRAM=1 ${define}"
                  "exact_histogram${wide}:-DEXACT=1 -DHISTOGRAM=1 ${define}")
endforeach()
fv_splat_shader(gs/scan)
fv_splat_shader(gs/compact "blocks:-DBLOCKS=1" "holes:-DHOLES=1" "holes_wide:-DHOLES=1 -DWIDE=1")
fv_splat_shader(gs/sort_count "first:-DFIRST=1" "narrow:-DNARROW=1" "pairs:-DPAIRS=1")
fv_splat_shader(gs/sort_scatter "narrow_first:-DFIRST=1 -DNARROW=1" "narrow_last:-DNARROW=1 -DLAST=1"
                "pairs:-DPAIRS=1" "pairs_last:-DLAST=1")
fv_splat_shader(gs/depth_order "packed:-DPACKED=1" "exact:-DEXACT=1")
fv_splat_shader(gs/partition)
fv_splat_shader(gs/spans "packed:-DPACKED=1" "exact:-DEXACT=1")
fv_shader(gs/bin_prefix)
fv_shader(gs/slices)
fv_splat_shader(gs/bin_lists)
foreach(sg 4 8 16)
  fv_splat_shader(gs/blend "packed${sg}:-DSG=${sg}" "exact${sg}:-DEXACT=1 -DSG=${sg}")
endforeach()
fv_splat_shader(gs/pack "rgba8:-DRGBA8=1" "float:-DFLOAT=1")
fv_splat_shader(gs/yuv "rgba8:-DRGBA8=1" "float:-DFLOAT=1")

# The forms for GPUs: no subgroup operations, shared memory, many workgroups.
fv_splat_shader(gs/scan_wide "reduce:-DREDUCE=1" "top:-DTOP=1" "add:-DADD=1")
fv_splat_shader(gs/sort_wide "count:-DCOUNT=1" "scatter:-DSCATTER=1")
fv_splat_shader(gs/touch "packed_count:-DWIDE=1" "packed_emit:-DWIDE=1 -DEMIT=1"
                "exact_count:-DEXACT=1 -DWIDE=1" "exact_emit:-DEXACT=1 -DWIDE=1 -DEMIT=1")
fv_shader(gs/entries)
fv_splat_shader(gs/tile_ranges)
fv_splat_shader(gs/blend_wide "packed:-DWIDE=1" "exact:-DEXACT=1 -DWIDE=1")

# QUEEN's frames.
fv_splat_shader(gs/queen_layer)
fv_splat_shader(gs/queen_latent)
fv_splat_shader(gs/queen_gather)
fv_splat_shader(gs/queen_move)
fv_splat_shader(gs/queen_place)
fv_splat_shader(gs/queen_gate)
fv_splat_shader(gs/queen_pack)

# Frames of .fvv streams: lists are short, so storage buffers do.
fv_shader(gs/stream_move)
fv_shader(gs/stream_put)
fv_shader(gs/stream_pack VARIANT geometry "-DGEOMETRY=1" VARIANT colours "-DCOLOURS=1")

# Tensors.
fv_nn_shader(nn/elementwise)
fv_nn_shader(nn/copy)
fv_nn_shader(nn/turn)
fv_nn_shader(nn/twice)
fv_nn_shader(nn/check)
fv_nn_shader(nn/pad)

# Convolutions and norms.
fv_nn_shader(nn/conv_direct)
fv_nn_shader(nn/conv_pack)
fv_nn_shader(nn/conv_shared)
foreach(lanes 4 8 16)
  fv_nn_shader(nn/conv_tile "${lanes}x16:-DLANES=${lanes} -DROWS=16 -DSTEP=2")
endforeach()
fv_nn_shader(nn/group_moments)
fv_nn_shader(nn/group_merge)
fv_nn_shader(nn/group_table)
fv_nn_shader(nn/group_norm)
fv_nn_shader(nn/group_stats_merge)
fv_nn_shader(nn/row_norm)
fv_nn_shader(nn/row_norm_lanes "4:-DLANES=4" "8:-DLANES=8" "16:-DLANES=16")
fv_nn_shader(nn/row_moments)
fv_nn_shader(nn/row_apply)

# Matrix products: register tiles of so many lanes and rows, shared tiles for GPUs. Attention.
fv_nn_shader(nn/matmul_pack)
foreach(tile 4x4 4x16 8x4 8x24 16x4 16x32)
  string(REGEX REPLACE "(.*)x(.*)" "-DLANES=\\1 -DROWS=\\2" define ${tile})
  fv_nn_shader(nn/matmul "${tile}:${define}" "${tile}h:${define} -DPAIRS=1" "${tile}b:${define} -DPAIRS=1 -DBF16=1")
endforeach()
fv_nn_shader(nn/matmul "tiled:-DTILED=1" "tiledb:-DTILED=1 -DBF16=1")
# Those whose results end with a norm of heads.
foreach(tile 4x16 8x24 16x32)
  string(REGEX REPLACE "(.*)x(.*)" "-DHEADS=1 -DLANES=\\1 -DROWS=\\2" define ${tile})
  fv_nn_shader(nn/matmul "${tile}_heads:${define}" "${tile}h_heads:${define} -DPAIRS=1"
               "${tile}b_heads:${define} -DPAIRS=1 -DBF16=1")
endforeach()
fv_nn_shader(nn/matmul "tiled_heads:-DTILED=1 -DHEADS=1" "tiledb_heads:-DTILED=1 -DBF16=1 -DHEADS=1")
fv_nn_shader(nn/head_norm)
fv_nn_shader(nn/matrix "4:-DLANES=4" "8:-DLANES=8" "16:-DLANES=16"
             "wide:-DWIDE=1")
fv_nn_shader(nn/quantise_rows)
fv_nn_shader(nn/matrix_int8 "plain:-DPLAIN=1" "dot:-DDOT=1" "tiled_plain:-DTILED=1" "tiled_dot:-DTILED=1 -DDOT=1")
fv_nn_shader(nn/attention_softmax)
fv_nn_shader(nn/attention "4:-DLANES=4 -DROWS=2" "8:-DLANES=8 -DROWS=2" "16:-DLANES=16 -DROWS=2"
             "shared:-DLANES=64 -DROWS=1 -DSHARED=1")

fv_shader(nn/noise)
fv_nn_shader(nn/embed)
fv_nn_shader(nn/timestep)
fv_nn_shader(nn/rope)
fv_nn_shader(nn/softmax)
fv_nn_shader(nn/resample)
fv_nn_shader(nn/pool)
fv_nn_shader(nn/mean)

# Anchors decoded into Gaussians: kernels of a subgroup of 4, 8 or 16, and of none; wide128: of none, for
# networks of up to 128 hidden units, not 64.
foreach(form "sg4:-DSG=4u -DNARROW=1" "sg8:-DSG=8u" "sg16:-DSG=16u" "wide:-DWIDE=1")
  string(REPLACE ":" ";" parts ${form})
  list(GET parts 0 name)
  list(GET parts 1 flags)
  list(APPEND nl_first "${name}:${flags}")
  list(APPEND nl_nets "scaffold_${name}:${flags}" "sags_${name}:${flags} -DSAGS=1")
endforeach()
foreach(arch "scaffold:" "sags: -DSAGS=1")
  string(REPLACE ":" ";" parts ${arch})
  list(GET parts 0 name)
  list(GET parts 1 flags)
  list(APPEND nl_nets "${name}_wide128:-DWIDE=1 -DROW_QUADS=32${flags}")
endforeach()
fv_splat_shader(neural/first ${nl_first})
fv_splat_shader(neural/opacity ${nl_nets})
foreach(net ${nl_nets})
  string(REPLACE ":" "_fused:-DFUSED=1 " net ${net})
  list(APPEND nl_fused ${net})
endforeach()
fv_splat_shader(neural/decode ${nl_nets} ${nl_fused})
fv_shader(neural/starts)
fv_splat_shader(neural/graph_bin)
fv_shader(neural/graph_scan)
fv_splat_shader(neural/graph_search)
fv_splat_shader(neural/graph_low)
fv_splat_shader(neural/graph_local)
fv_splat_shader(neural/hash_grid)
