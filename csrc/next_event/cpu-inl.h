// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include "common/flush_subnormals.h"
#include "next_event/pass-inl.h"
#include "simd/stored-inl.h"

namespace recops::next_event::RECOPS_ISA {
namespace {

int64_t packed_bytes(const Problem& problem) {
  return with_compute_type(problem.dtype, [&]<class T>(T) {
    Arena arena(nullptr);
    Net<T>(problem, arena);
    return arena.used();
  });
}

void pack(const Problem& problem, void* packed) {
  with_compute_type(problem.dtype, [&]<class T>(T) {
    Arena arena(packed);
    Net<T>(problem, arena).pack(problem);
  });
}

int64_t scratch_bytes(const Problem& problem) {
  return with_stored_type(problem.dtype, [&]<class S>(S) { return Pass<S>(problem, nullptr).arena.used(); });
}

int64_t sum_values(const Problem& problem) {
  return with_compute_type(problem.dtype, [&]<class T>(T) { return Sums<T>(problem, nullptr).values; });
}

double run(const Problem& problem, const void* packed, int64_t begin, int64_t end, void* scratch, const Gradients* to,
           void* sums) {
  return with_stored_type(problem.dtype, [&]<class S>(S) {
    Arena arena(const_cast<void*>(packed));
    return Pass<S>(problem, scratch).run(Net<Compute<S>>(problem, arena), begin, end, to, sums);
  });
}

void add_drawn(const Problem& problem, int64_t cells, const Gradients& of, int64_t begin, int64_t end) {
  with_compute_type(problem.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < cells; ++i) {
      if (problem.drawn[i] < begin || problem.drawn[i] >= end) continue;
      const T* from = static_cast<const T*>(of.drawn) + i * problem.width;
      T* to = static_cast<T*>(of.events) + problem.drawn[i] * problem.width;
      for (int64_t k = 0; k < problem.width; ++k) to[k] += from[k];
    }
  });
}

void finish(const Problem& problem, void* sums, int64_t groups, void* parameters) {
  with_compute_type(problem.dtype, [&]<class T>(T) {
    const int64_t values = sum_values(problem);
    T* total = static_cast<T*>(sums);
    for (int64_t g = 1; g < groups; ++g)
      for (int64_t i = 0; i < values; ++i) total[i] += total[g * values + i];
    Sums<T>(problem, sums).unpack(problem, static_cast<T*>(parameters));
  });
}

void scale(Dtype dtype, const void* factor, const void* values, int64_t begin, int64_t end, void* to) {
  with_compute_type(dtype, [&]<class T>(T) {
    const T by = *static_cast<const T*>(factor), *const from = static_cast<const T*>(values);
    for (int64_t i = begin; i < end; ++i) static_cast<T*>(to)[i] = by * from[i];
  });
}

}  // namespace

extern const Kernels kernels = {
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .sum_values = sum_values,
    .run = flushing<run>,
    .add_drawn = flushing<add_drawn>,
    .finish = flushing<finish>,
    .scale = flushing<scale>,
};

}  // namespace recops::next_event::RECOPS_ISA
