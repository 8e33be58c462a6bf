// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
//
// The codewords of a panel are in lanes; an inner loop passes over all codewords, a few at a time. Only one register
// tile of the K × K matrix exists at a time.
#pragma once

#include <cstdint>

#include "codebook_overlap/backward-inl.h"
#include "codebook_overlap/forward-inl.h"
#include "codebook_overlap/kernel.h"
#include "codebook_overlap/panel-inl.h"
#include "simd/stored-inl.h"

namespace recops::codebook_overlap::RECOPS_ISA {
namespace {

int64_t find_not_finite(const void* values, bool wide, int64_t count) {
  return with_compute_type(wide, [&]<class T>(T) -> int64_t {
    const T* value = static_cast<const T*>(values);
    for (int64_t i = 0; i < count; ++i)
      if (!(value[i] - value[i] == 0)) return i;
    return -1;
  });
}

}  // namespace

extern const Kernels kernels = {
    .num_panels = num_panels,
    .panel_bytes = panel_bytes,
    .find_not_finite = find_not_finite,
    .row_sums = row_sums,
    .overlap = overlap,
    .backward = backward,
};

}  // namespace recops::codebook_overlap::RECOPS_ISA
