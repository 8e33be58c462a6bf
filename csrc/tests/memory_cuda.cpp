// Runs the CUDA kernels of memory networks on the host and compares them with the CPU kernels.
//
//   memory_cuda mimn|hpmn [f32|bf16|f16]
//
// Each case runs in every order of threads, which must give the same bits. The events of a scan are then applied as a
// stream in several calls, which must give the bits of the scan. Exit code 1 means a difference.
#include <cstdio>
#include <string>

#include "common/flush_subnormals.h"
#include "memory/cuda.cu"
#include "memory/cuda_hpmn.cu"
#include "memory/cuda_mimn.cu"
#include "memory_cuda_hpmn.h"
#include "memory_cuda_mimn.h"

int main(int argc, char** argv) {
  using namespace recops::memory::cuda;
  const std::string what = argc > 1 ? argv[1] : "", dtype = argc > 2 ? argv[2] : "f32";
  const recops::Dtype type = dtype == "bf16"  ? recops::Dtype::bf16
                             : dtype == "f16" ? recops::Dtype::f16
                                              : recops::Dtype::f32;
  recops::set_flush_subnormals(true);  // as nvcc compiles the kernels
  if (what == "mimn") return run_mimn(type) ? 0 : 1;
  if (what == "hpmn") return run_hpmn(type) ? 0 : 1;
  std::fprintf(stderr, "usage: %s mimn|hpmn [f32|bf16|f16]\n", argv[0]);
  return 2;
}
