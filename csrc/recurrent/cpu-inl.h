// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include "common/flush_subnormals.h"
#include "recurrent/backward-inl.h"
#include "recurrent/forward-inl.h"
#include "recurrent/kernel.h"
#include "simd/stored-inl.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

int64_t packed_bytes(const Scan& scan, bool backward) {
  return with_compute_type(scan.dtype, [&]<class T>(T) {
    Arena arena(nullptr);
    Weights<T>(scan, backward, arena);
    return arena.used();
  });
}

void pack(const Scan& scan, bool backward, void* packed) {
  with_compute_type(scan.dtype, [&]<class T>(T) {
    Arena arena(packed);
    pack_weights(scan, Weights<T>(scan, backward, arena));
  });
}

int64_t scratch_bytes(const Scan& scan, bool backward) {
  return with_stored_type(scan.dtype, [&]<class S>(S) {
    return backward ? BackwardScan<S>(scan, nullptr).arena.used() : ForwardScan<S>(scan, nullptr).arena.used();
  });
}

void forward(const Scan& scan, const void* packed, const Block& block, void* scratch, const Forward& to) {
  with_stored_type(scan.dtype, [&]<class S>(S) {
    Arena arena(const_cast<void*>(packed));
    ForwardScan<S>(scan, scratch).run(Weights<Compute<S>>(scan, false, arena), block, to);
  });
}

int64_t sum_values(const Scan& scan) {
  return with_compute_type(scan.dtype, [&]<class T>(T) { return Sums<T>(scan, nullptr).values; });
}

void backward(const Scan& scan, const void* packed, const Block& block, void* scratch, const Backward& from,
              void* sums) {
  with_stored_type(scan.dtype, [&]<class S>(S) {
    using T = Compute<S>;
    Arena arena(const_cast<void*>(packed));
    BackwardScan<S>(scan, scratch).run(Weights<T>(scan, true, arena), block, from, Sums<T>(scan, sums));
  });
}

void add_groups(const Scan& scan, void* sums, int64_t groups, int64_t begin, int64_t end) {
  with_compute_type(scan.dtype, [&]<class T>(T) {
    T* total = static_cast<T*>(sums);
    for (int64_t g = 1; g < groups; ++g) {
      const T* group = total + g * sum_values(scan);
      for (int64_t i = begin; i < end; ++i) total[i] += group[i];
    }
  });
}

void unpack(const Scan& scan, const void* sums, const ParameterGradients& to) {
  with_compute_type(scan.dtype, [&]<class T>(T) { unpack_sums(scan, Sums<T>(scan, const_cast<void*>(sums)), to); });
}

}  // namespace

extern const Kernels kernels = {
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .forward = flushing<forward>,
    .sum_values = sum_values,
    .backward = flushing<backward>,
    .add_groups = flushing<add_groups>,
    .unpack = unpack,
};

}  // namespace recops::recurrent::RECOPS_ISA
