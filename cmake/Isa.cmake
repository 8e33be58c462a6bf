# The kernels of an op family are compiled once per instruction set, into the object library <family>_kernels without torch.
# The op library and the drivers of csrc/tests link the same objects. The base level runs on x86-64 machines since 2009; on
# other processors it is the compiler's default.
set(RECOPS_OPTIMIZATION -O3 CACHE STRING "Optimization level of the kernels; a lower level builds faster.")
set(RECOPS_KERNEL_FLAGS ${RECOPS_OPTIMIZATION} -fno-math-errno -fno-trapping-math -ffp-contract=fast)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(RECOPS_ISAS base avx2 avx512)
  set(RECOPS_ISA_FLAGS_base -march=x86-64-v2)
  set(RECOPS_ISA_FLAGS_avx2 -march=x86-64-v3)
  set(RECOPS_ISA_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  set(RECOPS_ISAS base)
  set(RECOPS_ISA_FLAGS_base "")
endif()

# Products and sums of these families are not fused, so that all instruction sets give the same bits.
set(RECOPS_FAMILY_FLAGS_embedding -ffp-contract=off)

set(RECOPS_CSRC ${CMAKE_CURRENT_LIST_DIR}/../csrc)

function(recops_add_kernels family)
  add_library(${family}_kernels OBJECT)
  target_include_directories(${family}_kernels PRIVATE ${RECOPS_CSRC})
  foreach(isa IN LISTS RECOPS_ISAS)
    set(source ${RECOPS_CSRC}/${family}/cpu_${isa}.cpp)
    target_sources(${family}_kernels PRIVATE ${source})
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${RECOPS_KERNEL_FLAGS};${RECOPS_ISA_FLAGS_${isa}};${RECOPS_FAMILY_FLAGS_${family}}")
  endforeach()
endfunction()
