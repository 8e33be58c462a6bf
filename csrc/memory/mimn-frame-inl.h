// MIMN's weights, and what a step of a block reads and makes.
#pragma once

#include "memory/gru-inl.h"
#include "memory/sharpen-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// The weights as matrices, with the norms of the static slots.
template <class T>
struct MimnNet {
  int64_t d, h, m, topk, heads;  // `heads` values are computed for addressing and writing: 4 D + 6
  Utilization utilization;
  T usage_scale;
  Gru<T> controller, induction;
  Matrix<T> head;  // [heads, H + m], without utilization [heads, H]
  Matrix<T> out_hidden, out_read;
  Matrix<T> usage;
  const T *head_b, *out_b;
  StaticSlots<T> fixed;
  // Where values for addressing stand.
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

// What a step reads of the state, and what it makes: as much as the way back needs.
template <class T>
struct MimnFrame {
  T *input = nullptr, *hidden, *memory, *usage;  // [2 D] x and what was read before, [H], [m, D], [m]
  GruStep<T> controller;
  T* next_hidden;  // [H], and behind it usage / usage_scale [m]
  T* head;         // [4 D + 6], before it is clipped
  T* norms;        // [m] of the slots
  Head<T> reading, writing;
  Sharpening<T> sharp;
  T* share;  // [m] of the content weights, for utilization "paper"
  T* write;  // [m] the weights to write with
  T* erase;  // [D]
  T* add;    // [D]
  T* out;    // [H], before it is clipped
  // For each of the channels that moves:
  T* chosen;             // [topk] the slot, as a number
  T* slot;               // [topk, D] the slot's memory
  T* channel;            // [topk, D] the channel before
  GruStep<T> induction;  // the first's; the others' follow

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

// What a step only adds to, and the channels.
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
