# An op family: its CPU ops (csrc/<family>/op.cpp and further sources of the family) and its CPU kernels.
#
# After CUDA come the names of its ops with a CUDA kernel. The kernels and their launchers are in csrc/<family>/cuda.cu,
# without torch. csrc/<family>/cuda_op.cpp registers the ops. Both are compiled into _ops_cuda, with the further sources
# of the family after CUDA_SOURCES.
#
#   recops_add_family(TARGET FAMILY [SOURCE...] [CUDA OP...] [CUDA_SOURCES SOURCE...])
function(recops_add_family target family)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "CUDA;CUDA_SOURCES")
  recops_add_kernels(${family})
  foreach(source IN ITEMS op.cpp LISTS arg_UNPARSED_ARGUMENTS)
    target_sources(${target} PRIVATE csrc/${family}/${source})
  endforeach()
  target_link_libraries(${target} PRIVATE ${family}_kernels)
  if(TARGET _ops_cuda AND arg_CUDA)
    foreach(source IN ITEMS cuda.cu cuda_op.cpp LISTS arg_CUDA_SOURCES)
      target_sources(_ops_cuda PRIVATE csrc/${family}/${source})
    endforeach()
    set_property(GLOBAL APPEND PROPERTY RECOPS_CUDA_OPS ${arg_CUDA})
  endif()
endfunction()
