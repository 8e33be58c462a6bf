// The CUDA ops of tries, with kernels that run on the host.
#include "emulated_op.h"

namespace recops::trie {
using emulated::current_stream;
using emulated::DeviceGuard;
using emulated::empty;
using emulated::read_values;
using emulated::zeros;
}  // namespace recops::trie

#include "trie/cuda.cu"
#include "trie/cuda_build.cu"
#include "trie/cuda_build_op.cpp"
#include "trie/cuda_lookups.cu"
#include "trie/cuda_lookups_op.cpp"
#include "trie/cuda_op.cpp"
