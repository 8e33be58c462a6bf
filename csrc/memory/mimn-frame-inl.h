// MIMN weights, and the inputs and results of one step of a block.
#pragma once

#include "memory/gru-inl.h"
#include "memory/sharpen-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// MIMN weights as matrices, and the norms of the static slots.
template <class T>
struct MimnNet {
  int64_t d, h, m, topk, heads;  // heads: number of head values, 4 D + 6
  Utilization utilization;
  T usage_scale;
  Gru<T> controller, induction;
  Matrix<T> head;  // [heads, H + m]; [heads, H] without utilization
  Matrix<T> out_hidden, out_read;
  Matrix<T> usage;
  const T *head_b, *out_b;
  StaticSlots<T> fixed;
  // Offsets of the head values, shown with their sizes:
  //
  //   read_key  read_beta  write_key  write_beta  shift  gamma  erase  add
  //   D         1          D          1           3      1      D      D
  int64_t read_key, read_beta, write_key, write_beta, shift, gamma, erase, add;

  MimnNet(const Mimn& mimn, Arena& packed)
      : d(mimn.inputs),
        h(mimn.hidden),
        m(mimn.slots),
        topk(mimn.topk),
        heads(4 * d + 6),
        utilization(mimn.utilization),
        usage_scale(static_cast<T>(mimn.usage_scale)),
        controller(mimn.controller, 2 * d, h),
        induction(mimn.induction, 2 * d, d),
        head{static_cast<const T*>(mimn.head_w), h + m, heads, utilization == Utilization::none ? h : h + m},
        out_hidden{static_cast<const T*>(mimn.out_w), h + d, h, h},
        out_read{static_cast<const T*>(mimn.out_w) + h, h + d, h, d},
        usage{static_cast<const T*>(mimn.usage_w), m, m, m},
        head_b(static_cast<const T*>(mimn.head_b)),
        out_b(static_cast<const T*>(mimn.out_b)),
        fixed{{static_cast<const T*>(mimn.key_memory), d, m, d}, packed.take<T>(m), {}},
        read_key(0),
        read_beta(d),
        write_key(d + 1),
        write_beta(2 * d + 1),
        shift(2 * d + 2),
        gamma(2 * d + 5),
        erase(2 * d + 6),
        add(3 * d + 6) {}

  void pack(T* norms) const {
    for (int64_t j = 0; fixed.slots.data != nullptr && j < m; ++j) {
      T sum = 0;
      for (int64_t i = 0; i < d; ++i) sum += fixed.slots.data[j * d + i] * fixed.slots.data[j * d + i];
      norms[j] = static_cast<T>(__builtin_sqrt(static_cast<double>(sum)));
    }
  }
};

// Inputs and results of a step that the backward pass needs. All values are in lanes (lanes-inl.h).
template <class T>
struct MimnFrame {
  T *input = nullptr, *hidden, *memory, *usage;  // [2 D] x and the previous read, [H], [m, D], [m]
  GruStep<T> controller;
  T* next_hidden;  // [H], followed by usage / usage_scale [m]
  T* head;         // [4 D + 6], before clipping
  T* norms;        // [m]: norms of the slots
  Head<T> reading, writing;
  Sharpening<T> sharp;
  T* share;  // [m]: factors on the content weights, for utilization "paper"
  T* write;  // [m]: write weights
  T* erase;  // [D]
  T* add;    // [D]
  T* out;    // [H], before clipping
  // For each channel that the step updates:
  T* chosen;             // [topk]: number of the slot
  T* slot;               // [topk, D]: memory of the slot
  T* channel;            // [topk, D]: channel before the step
  GruStep<T> induction;  // of the first channel; the others follow

  void take(const MimnNet<T>& net, Arena& arena) {
    const int64_t d = net.d, h = net.h, m = net.m, users = kUsers<T>;
    arena.take(input, 2 * d * users);
    arena.take(hidden, h * users);
    arena.take(memory, m * d * users);
    arena.take(usage, m * users);
    controller.take(arena, h);
    arena.take(next_hidden, (h + m) * users);
    arena.take(head, net.heads * users);
    arena.take(norms, m * users);
    reading.take(arena, d, m);
    writing.take(arena, d, m);
    sharp.take(arena, m);
    arena.take(share, m * users);
    arena.take(write, m * users);
    arena.take(erase, d * users);
    arena.take(add, d * users);
    arena.take(out, h * users);
    arena.take(chosen, net.topk * users);
    arena.take(slot, net.topk * d * users);
    arena.take(channel, net.topk * d * users);
    arena.take(induction.gates, net.topk * 3 * d * users);
    arena.take(induction.reset, net.topk * d * users);
  }

  T* x() const { return input; }
  GruStep<T> moved(const MimnNet<T>& net, int64_t k) const {
    return {induction.gates + k * 3 * net.d * kUsers<T>, induction.reset + k * net.d * kUsers<T>};
  }
};

// Sums over steps, and the channels.
template <class T>
struct MimnTotals {
  T *added = nullptr, *channels, *pooled;

  void take(const MimnNet<T>& net, Arena& arena) {
    arena.take(added, net.d * kUsers<T>);
    arena.take(channels, net.m * net.d * kUsers<T>);
    arena.take(pooled, net.d * kUsers<T>);
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
