// HPMN for a block of users: a stack of GRUs whose upper layers update at fewer events.
#pragma once

#include "memory/gru-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
struct HpmnNet {
  const Hpmn& hpmn;
  int64_t inputs, h, layers;

  explicit HpmnNet(const Hpmn& hpmn) : hpmn(hpmn), inputs(hpmn.inputs), h(hpmn.hidden), layers(hpmn.layers) {}

  Gru<T> layer(int64_t j) const {
    return {j == 0 ? inputs : h, h, hpmn.w_ih[j], static_cast<const T*>(hpmn.w_hh) + j * 3 * h * h,
            static_cast<const T*>(hpmn.bias) + j * 3 * h};
  }
  // Number of updates of the layer below per update of layer j.
  int64_t ratio(int64_t j) const { return j == 0 ? 1 : hpmn.periods[j] / hpmn.periods[j - 1]; }
};

// One update of a layer: inputs, results, and the lanes in which it applies.
template <class T>
struct HpmnMove {
  T *input = nullptr, *h;  // [I or H], [H]
  GruStep<T> step;
  Lane<T>* moved;  // −1 or 0

  void take(const HpmnNet<T>& net, Arena& arena) {
    arena.take(input, std::max(net.inputs, net.h) * kUsers<T>);
    arena.take(h, net.h * kUsers<T>);
    step.take(arena, net.h);
    arena.take(moved, kUsers<T>);
  }
};

template <class T>
struct HpmnSlots {
  T* memory = nullptr;  // [layers, H]
  Lane<T>* left;        // [layers]: updates of the layer below until the layer updates
  T* next;              // [H] scratch

  void take(const HpmnNet<T>& net, Arena& arena) {
    arena.take(memory, net.layers * net.h * kUsers<T>);
    arena.take(left, net.layers * kUsers<T>);
    arena.take(next, net.h * kUsers<T>);
  }

  T* slot(const HpmnNet<T>& net, int64_t j) const { return memory + j * net.h * kUsers<T>; }

  // Loads the memory of the first `live` rows, and computes their counters after `steps` events.
  void start(const HpmnNet<T>& net, const Block& block, const T* rows, const int64_t* index, const int64_t* counts,
             int64_t steps, int64_t live) const {
    load_rows(rows, net.layers * net.h, index, 0, live, Others::zero, memory);
    for (int64_t i = 0; i < kUsers<T>; ++i) {
      const int64_t count = i < live ? counts[block.from[i]] + steps : 0;
      for (int64_t j = 0; j < net.layers; ++j) {
        const int64_t ratio = net.ratio(j), below = j == 0 ? count : count / net.hpmn.periods[j - 1];
        left[j * kUsers<T> + i] = static_cast<Lane<T>>(ratio - below % ratio);
      }
    }
  }
};

// Layer j updates in lanes where the layer below has updated ratio(j) times. Returns false if it updates in no lane.
template <class T>
bool moves(const HpmnNet<T>& net, const HpmnSlots<T>& slots, int64_t j, const Lane<T>* below, Lane<T>* moved) {
  Vec<Lane<T>> in_any{};
  const auto ratio = broadcast(static_cast<Lane<T>>(net.ratio(j)));
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    Lane<T>* const at = slots.left + j * kUsers<T> + lane;
    Vec<Lane<T>> left, step = broadcast(Lane<T>{-1});
    std::memcpy(&left, at, sizeof(left));
    if (j > 0) std::memcpy(&step, below + lane, sizeof(step));
    left += step;
    const Vec<Lane<T>> now = left == 0;
    left = now ? ratio : left;
    std::memcpy(at, &left, sizeof(left));
    std::memcpy(moved + lane, &now, sizeof(now));
    in_any |= now;
  }
  return any<T>(in_any);
}

// Processes one event, whose x is in move_at(0).input. Returns the number of layers that updated. `move_at(j)` is the
// storage for layer j's update.
template <class T, class MoveAt>
int64_t advance(const HpmnNet<T>& net, const HpmnSlots<T>& slots, const MoveAt& move_at) {
  const Lane<T>* below = nullptr;
  for (int64_t j = 0; j < net.layers; ++j) {
    const HpmnMove<T> move = move_at(j);
    if (!moves(net, slots, j, below, move.moved)) return j;
    const Gru<T> gru = net.layer(j);
    T* const slot = slots.slot(net, j);
    if (j > 0) std::copy_n(slots.slot(net, j - 1), net.h * kUsers<T>, move.input);
    std::copy_n(slot, net.h * kUsers<T>, move.h);
    multiply(gru.input, move.input, gru.bias, move.step.gates);
    advance(gru, move.h, move.step, slots.next);
    for_vectors<T>(net.h, [&](int64_t i) {
      Vec<Lane<T>> moved;
      std::memcpy(&moved, move.moved + i % kUsers<T>, sizeof(moved));
      store(slot + i, moved ? load(slots.next + i) : load(slot + i));
    });
    below = move.moved;
  }
  return net.layers;
}

template <class S>
struct HpmnScan {
  using T = Compute<S>;

  Arena arena;
  HpmnNet<T> net;
  HpmnSlots<T> slots;
  HpmnMove<T> move[2];  // current layer and the layer below

  HpmnScan(const Hpmn& hpmn, void* memory) : arena(memory), net(hpmn) {
    slots.take(net, arena);
    for (HpmnMove<T>& each : move) each.take(net, arena);
  }

  void run(const Block& block, const HpmnForward& with) {
    const int64_t width = net.layers * net.h;
    T* const to = static_cast<T*>(with.to);
    slots.start(net, block, static_cast<const T*>(with.from), block.from, with.counts, 0, block.count);
    for (int64_t i = 0; i < block.num_next; ++i) fetch(static_cast<const T*>(with.from), block.next[i], width);
    int64_t live = live_at(block, 0);
    store_rows(slots.memory, width, block.to, live, block.count, width, to);
    int64_t index[kUsers<T>];
    for (int64_t t = 0; live > 0; ++t) {
      if (with.kept.states != nullptr && t > 0 && t % with.kept.every == 0)
        store_rows(slots.memory, width, block.to, 0, live, width,
                   static_cast<T*>(with.kept.states) + (t / with.kept.every - 1) * with.kept.rows * width);
      input_rows(block, t, live, index);
      load_rows(static_cast<const S*>(with.x), net.inputs, index, 0, live, Others::zero, move[0].input);
      advance(net, slots, [&](int64_t j) { return move[j % 2]; });
      const int64_t on = live_at(block, t + 1);
      if (on < live) store_rows(slots.memory, width, block.to, on, live, width, to);
      live = on;
    }
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
