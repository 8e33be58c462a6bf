# One clear line where the compiler cannot build recops.
include(CheckCXXSourceCompiles)

if(MSVC)
  message(FATAL_ERROR "recops: MSVC is not supported; use GCC >= 11 or Clang >= 14 (set CXX).")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
  message(FATAL_ERROR "recops: GCC ${CMAKE_CXX_COMPILER_VERSION} is too old; GCC >= 11 is needed (set CXX).")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "recops: Clang ${CMAKE_CXX_COMPILER_VERSION} is too old; Clang >= 14 is needed (set CXX).")
endif()

set(CMAKE_REQUIRED_FLAGS "-std=c++20")
check_cxx_source_compiles("
#include <concepts>
template <std::integral T> T twice(T x) { return x + x; }
int main() { return twice(0); }" RECOPS_HAS_CXX20)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT RECOPS_HAS_CXX20)
  message(FATAL_ERROR "recops: ${CMAKE_CXX_COMPILER} cannot compile C++20; install GCC >= 11 or Clang >= 14 (set CXX).")
endif()

option(RECOPS_WERROR "Treat warnings as errors" OFF)
add_compile_options(-Wall -Wextra $<$<BOOL:${RECOPS_WERROR}>:-Werror>)
