// Backward scan of HPMN. The steps between two checkpoints are recomputed and stored, then processed in reverse order.
#pragma once

#include "memory/hpmn-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
struct HpmnSums {
  const HpmnNet<T>& net;
  Arena arena;

  HpmnSums(const HpmnNet<T>& net, void* memory) : net(net), arena(memory) {}

  // Calls f(j, sums of layer j). Returns the number of values in all sums.
  template <class F>
  int64_t for_layers(const F& f) {
    Arena place = arena;
    for (int64_t j = 0; j < net.layers; ++j) {
      GruSums<T> sums;
      sums.take(net.layer(j), place);
      f(j, sums);
    }
    return place.used() / int64_t{sizeof(T)};
  }
};

// Lays out (and packs, if `pack`) the transposed weights of every layer.
template <class T>
void place_backs(const HpmnNet<T>& net, Arena& packed, GruBack<T>* backs, bool pack) {
  for (int64_t j = 0; j < net.layers; ++j) {
    const Gru<T> gru = net.layer(j);
    GruBack<T> back;
    back.take(gru, gru.inputs, packed, pack);
    if (backs != nullptr) backs[j] = back;
  }
}

template <class S>
struct HpmnBackScan {
  using T = Compute<S>;

  Arena arena;
  HpmnNet<T> net;
  int64_t every;
  GruBack<T>* backs;
  GruSums<T>* sums;
  int64_t* moved_at;  // number of layers that updated at each step since the checkpoint
  HpmnSlots<T> slots;
  T *grad, *grad_gates, *grad_reset, *grad_next, *grad_h, *grad_input;
  SampleRows<T> left, right;
  HpmnMove<T> first;  // first stored update; the others follow it
  int64_t move_bytes;

  HpmnBackScan(const Hpmn& hpmn, const void* packed, void* memory, int64_t every)
      : arena(memory),
        net(hpmn),
        every(every),
        backs(arena.take<GruBack<T>>(net.layers)),
        sums(arena.take<GruSums<T>>(net.layers)),
        moved_at(arena.take<int64_t>(every)),
        left(arena, 3 * net.h),
        right(arena, std::max(net.inputs, net.h)) {
    const int64_t users = kUsers<T>;
    slots.take(net, arena);
    arena.take(grad, net.layers * net.h * users);
    arena.take(grad_gates, 3 * net.h * users);
    arena.take(grad_reset, net.h * users);
    arena.take(grad_next, net.h * users);
    arena.take(grad_h, net.h * users);
    arena.take(grad_input, std::max(net.inputs, net.h) * users);
    const int64_t begin = arena.used();
    first.take(net, arena);
    move_bytes = arena.used() - begin;
    moves_ = memory == nullptr ? nullptr : static_cast<char*>(memory) + begin;
    // Upper limit: every layer may update at each step if rows have different phases. Unneeded memory is never touched.
    for (int64_t i = 0; i < every * net.layers; ++i) arena.take<char>(move_bytes - kCacheLine);
    Arena packed_arena(const_cast<void*>(packed));
    place_backs(net, packed_arena, memory == nullptr ? nullptr : backs, false);
  }

  void run(const Block& block, const HpmnBackward& from, void* block_sums) {
    const int64_t width = net.layers * net.h, users = kUsers<T>, steps = block.count == 0 ? 0 : block.lengths[0];
    const T* const grad_to = static_cast<const T*>(from.grad_to);
    HpmnSums<T>(net, block_sums).for_layers([&](int64_t j, const GruSums<T>& each) { sums[j] = each; });
    std::fill_n(grad, width * users, T{0});
    const auto end_rows = [&](int64_t begin, int64_t end) {
      load_rows(grad_to, width, block.to, begin, end, Others::keep, grad);
    };
    for (int64_t begin = steps == 0 ? -1 : (steps - 1) / every * every; begin >= 0; begin -= every) {
      const int64_t end = std::min(begin + every, steps);
      int64_t kept = take_again(block, from, begin, end);
      for (int64_t t = end; t-- > begin;) {
        const int64_t live = live_at(block, t), moved = moved_at[t - begin];
        if (live_at(block, t + 1) < live) end_rows(live_at(block, t + 1), live);
        kept -= moved;
        for (int64_t j = moved; j-- > 0;) layer_back(at(kept + j), j, live);
        int64_t index[kUsers<T>];
        input_rows(block, t, live, index);
        store_rows(grad_input, net.inputs, index, 0, live, net.inputs, static_cast<T*>(from.grad_x));
      }
    }
    end_rows(live_at(block, 0), block.count);
    store_rows(grad, width, block.from, 0, block.count, width, static_cast<T*>(from.grad_from));
  }

 private:
  char* moves_;

  HpmnMove<T> at(int64_t number) const {
    HpmnMove<T> moved;
    Arena place(moves_ + number * move_bytes);
    moved.take(net, place);
    return moved;
  }

  // Recomputes the steps after a checkpoint. Returns the number of stored updates.
  int64_t take_again(const Block& block, const HpmnBackward& from, int64_t begin, int64_t end) {
    const int64_t live = live_at(block, begin), width = net.layers * net.h;
    const T* const rows = begin == 0
                              ? static_cast<const T*>(from.from)
                              : static_cast<const T*>(from.kept.states) + (begin / every - 1) * from.kept.rows * width;
    slots.start(net, block, rows, begin == 0 ? block.from : block.to, from.counts, begin, live);
    int64_t kept = 0;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t now = live_at(block, t);
      int64_t index[kUsers<T>];
      input_rows(block, t, now, index);
      load_rows(static_cast<const S*>(from.x), net.inputs, index, 0, now, Others::zero, at(kept).input);
      moved_at[t - begin] = advance(net, slots, [&](int64_t j) { return at(kept + j); });
      kept += moved_at[t - begin];
    }
    return kept;
  }

  // Computes the gradient of slot j before an update from that after it, and adds the gradient of the layer's input: to
  // the slot below, or to x.
  void layer_back(const HpmnMove<T>& move, int64_t j, int64_t live) {
    const Gru<T> gru = net.layer(j);
    T* const slot = grad + j * net.h * kUsers<T>;
    const auto moved_lanes = [&](int64_t i) {
      Vec<Lane<T>> moved;
      std::memcpy(&moved, move.moved + i % kUsers<T>, sizeof(moved));
      return moved;
    };
    for_vectors<T>(net.h, [&](int64_t i) { store(grad_next + i, moved_lanes(i) ? load(slot + i) : Vec<T>{}); });
    go_back(gru, backs[j], move.h, move.step, grad_next, grad_gates, grad_reset, grad_h);
    for_vectors<T>(net.h, [&](int64_t i) { store(slot + i, moved_lanes(i) ? load(grad_h + i) : load(slot + i)); });
    const Samples<T> grads = sums[j].add(gru, move.h, move.step, grad_gates, live, left, right);
    add_outer_products(grads, right.of(move.input, gru.inputs, live), live, sums[j].input);
    if (j > 0)
      multiply_into(backs[j].input, grad_gates, slot - net.h * kUsers<T>);
    else
      multiply<T>(backs[j].input, grad_gates, nullptr, grad_input);
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
