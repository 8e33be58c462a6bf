# The stable ABI needs only torch's headers and libtorch_cpu. find_package(Torch) requires a CUDA toolkit for a CUDA build of
# torch, so the paths come from the package's folder instead.
find_package(Python COMPONENTS Interpreter REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
          "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
  OUTPUT_VARIABLE RECOPS_TORCH_DIR OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT RECOPS_TORCH_DIR)
  recops_fail("torch is not installed for ${Python_EXECUTABLE}; run `pip install 'torch>=2.10'`.")
endif()

file(READ "${RECOPS_TORCH_DIR}/version.py" RECOPS_TORCH_VERSION)
string(REGEX MATCH "__version__ = '([0-9]+\\.[0-9]+)" _ "${RECOPS_TORCH_VERSION}")
set(RECOPS_TORCH_VERSION "${CMAKE_MATCH_1}")
if(RECOPS_TORCH_VERSION VERSION_LESS 2.10)
  recops_fail("torch ${RECOPS_TORCH_VERSION} is too old; run `pip install 'torch>=2.10'`.")
endif()

# Sets up a MODULE library that uses only the stable ABI of torch 2.10, so that one binary works with all later versions.
function(recops_torch_library name)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/csrc)
  target_include_directories(${name} SYSTEM PRIVATE ${RECOPS_TORCH_DIR}/include)
  # Ops check arguments, allocate and call kernels; kernels have their own flags. -O2 compiles faster than Release's -O3.
  target_compile_options(${name} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O2>)
  target_compile_definitions(${name} PRIVATE TORCH_TARGET_VERSION=0x020a000000000000)
  target_link_libraries(${name} PRIVATE ${RECOPS_TORCH_DIR}/lib/libtorch_cpu${CMAKE_SHARED_LIBRARY_SUFFIX})
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" SKIP_BUILD_RPATH ON)
endfunction()
