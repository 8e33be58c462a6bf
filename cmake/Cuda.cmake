# The CUDA library, which is loaded only into a torch with CUDA. AUTO builds it if nvcc is found, ON requires nvcc.
set(RECOPS_CUDA AUTO CACHE STRING "Build the CUDA library: AUTO, ON or OFF")
set_property(CACHE RECOPS_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT RECOPS_CUDA MATCHES "^(AUTO|ON|OFF)$")
  recops_fail("RECOPS_CUDA=${RECOPS_CUDA} is not one of AUTO, ON, OFF.")
endif()
option(RECOPS_PTXAS_INFO "Print registers, spills and shared memory of CUDA kernels, for tools/cuda_resources.py" OFF)

# Installs the library, and a description of it that the loader reads before it decides whether to load the library.
function(recops_install_cuda_library)
  if(NOT TARGET _ops_cuda)
    return()
  endif()
  get_property(ops GLOBAL PROPERTY RECOPS_CUDA_OPS)
  list(JOIN ops "\", \"" ops)
  list(JOIN CMAKE_CUDA_ARCHITECTURES "\", \"" architectures)
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" runtime "${CMAKE_CUDA_COMPILER_VERSION}")
  file(WRITE ${CMAKE_BINARY_DIR}/_ops_cuda.json
    "{\"runtime\": \"${runtime}\", \"architectures\": [\"${architectures}\"], \"ops\": [\"${ops}\"]}\n")
  install(TARGETS _ops_cuda LIBRARY DESTINATION recops)
  install(FILES ${CMAKE_BINARY_DIR}/_ops_cuda.json DESTINATION recops)
endfunction()

if(RECOPS_CUDA STREQUAL "OFF")
  return()
endif()

# CUDACXX comes first, then PATH, then the package nvidia-cuda-nvcc of the Python that builds.
if(NOT CMAKE_CUDA_COMPILER AND "$ENV{CUDACXX}" STREQUAL "")
  find_program(RECOPS_NVCC nvcc PATHS ENV PATH NO_DEFAULT_PATH)
  if(NOT RECOPS_NVCC)
    execute_process(
      COMMAND ${Python_EXECUTABLE} -c
              "import importlib.util as u; s = u.find_spec('nvidia'); print(*s.submodule_search_locations if s else '', sep=';')"
      OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE)
    foreach(folder IN LISTS folders)
      list(APPEND toolkits ${folder}/cu13)
    endforeach()
    find_program(RECOPS_NVCC nvcc PATHS ${toolkits} PATH_SUFFIXES bin NO_DEFAULT_PATH)
  endif()
  if(RECOPS_NVCC)
    set(ENV{CUDACXX} ${RECOPS_NVCC})
  endif()
endif()

# The package's libraries are in lib, and its nvcc tells linkers to look into lib64.
cmake_path(SET toolkit NORMALIZE "$ENV{CUDACXX}/../../lib")
if(NOT "$ENV{CUDACXX}" STREQUAL "" AND EXISTS ${toolkit}/libcudart_static.a)
  set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${toolkit}")
  set(RECOPS_CUDA_LIBRARIES ${toolkit} CACHE INTERNAL "")
endif()

# check_language takes seconds, so it runs only if there is an nvcc.
if(CMAKE_CUDA_COMPILER OR NOT "$ENV{CUDACXX}" STREQUAL "")
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(NOT CMAKE_CUDA_COMPILER)
  if(RECOPS_CUDA STREQUAL "ON")
    recops_fail("RECOPS_CUDA=ON, but no working nvcc was found; install CUDA >= 12.8, or set RECOPS_CUDA=OFF.")
  endif()
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES 80-real) # for the checks of enable_language
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  if(RECOPS_CUDA STREQUAL "ON")
    recops_fail("nvcc ${CMAKE_CUDA_COMPILER_VERSION} is too old; install CUDA >= 12.8, or set RECOPS_CUDA=OFF.")
  endif()
  return()
endif()

# Machine code for A100, H100, B200 and cards of their generations, and PTX for later ones.
set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)

# The static runtime lets one library serve torch builds for other CUDA versions. Its symbols stay inside.
add_library(_ops_cuda MODULE csrc/common/cuda_device.cu)
recops_torch_library(_ops_cuda)
target_compile_options(_ops_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>"
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${RECOPS_WERROR}>>:-Werror=all-warnings>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${RECOPS_PTXAS_INFO}>>:-Xptxas=-v>)
target_link_directories(_ops_cuda PRIVATE ${RECOPS_CUDA_LIBRARIES})
target_link_options(_ops_cuda PRIVATE -Wl,--exclude-libs,ALL)
set_target_properties(_ops_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
