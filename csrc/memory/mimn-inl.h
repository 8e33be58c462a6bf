// The forward scan of MIMN, step by step.
#pragma once

#include "memory/mimn-step-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// Calls f(rows of a field, its lanes, its width) for every field that is not null.
template <class T, class F>
void for_fields(const MimnNet<T>& net, const MimnRows& rows, const MimnFrame<T>& frame, const MimnTotals<T>& totals,
                const F& f) {
  const auto field = [&](void* of_rows, T* lanes, int64_t width) {
    if (of_rows != nullptr) f(static_cast<T*>(of_rows), lanes, width);
  };
  field(rows.hidden, frame.hidden, net.h);
  field(rows.read, frame.input + net.d * kUsers<T>, net.d);
  field(rows.memory, frame.memory, net.m * net.d);
  field(rows.usage, frame.usage, net.m);
  field(rows.added, totals.added, net.d);
  field(rows.channels, totals.channels, net.m * net.d);
  field(rows.pooled, totals.pooled, net.d);
}

// The states of a checkpoint; row to[i] belongs to row i of a block.
template <class T>
MimnRows checkpoint(const MimnNet<T>& net, const Checkpoints& kept, int64_t number) {
  const int64_t slots = net.m * net.d;
  T* at = static_cast<T*>(kept.states) + number * kept.rows * (net.h + net.d + 2 * slots + net.m);
  const auto next = [&](int64_t width) {
    T* const field = at;
    at += kept.rows * width;
    return field;
  };
  MimnRows rows{};
  rows.hidden = next(net.h);
  rows.read = next(net.d);
  rows.memory = next(slots);
  rows.usage = next(net.m);
  rows.channels = next(slots);
  return rows;
}

// Forward scan of a block. All rows run as long as the longest; a row that has ended continues with zero inputs, and
// its results are ignored.
template <class S>
struct MimnScan {
  using T = Compute<S>;

  Arena packed_arena, arena;
  MimnNet<T> net;
  MimnFrame<T> frame;
  MimnTotals<T> totals;
  T* scratch;

  MimnScan(const Mimn& mimn, const void* packed, void* memory)
      : packed_arena(const_cast<void*>(packed)), arena(memory), net(mimn, packed_arena) {
    frame.take(net, arena);
    totals.take(net, arena);
    arena.take(scratch, std::max(net.m, net.d) * kUsers<T>);
  }

  void run(const Block& block, const MimnForward& with) {
    for_fields(net, with.from, frame, totals, [&](const T* rows, T* lanes, int64_t width) {
      load_rows(rows, width, block.from, 0, block.count, Others::zero, lanes);
    });
    std::fill_n(frame.reading.weights, net.m * kUsers<T>, T{0});  // for rows without a step
    int64_t live = retire(block, with, block.count, 0);
    int64_t index[kUsers<T>];
    for (int64_t t = 0; live > 0; ++t) {
      if (with.kept.states != nullptr && t > 0 && t % with.kept.every == 0)
        for_fields(
            net, checkpoint(net, with.kept, t / with.kept.every - 1), frame, totals,
            [&](T* rows, const T* lanes, int64_t width) { store_rows(lanes, width, block.to, 0, live, width, rows); });
      input_rows(block, t, live, index);
      load_rows(static_cast<const S*>(with.x), net.d, index, 0, live, Others::zero, frame.x());
      // Prefetching during the first step is early enough.
      const Ahead<T> ahead = t > 0 ? Ahead<T>{} : Ahead<T>{block.num_next, block.next, with.from};
      advance(net, frame, frame, totals, ahead, scratch);
      if (with.outputs != nullptr) {
        say(net, frame, frame);
        for_vectors<T>(net.h, [&](int64_t i) { store(frame.out + i, clipped<T>(load(frame.out + i))); });
        store_rows(frame.out, net.h, index, 0, live, net.h, static_cast<S*>(with.outputs));
      }
      live = retire(block, with, live, t + 1);
    }
  }

 private:
  // Writes the states of rows that end before step t, out of the first `live`. Returns the number of remaining rows.
  int64_t retire(const Block& block, const MimnForward& with, int64_t live, int64_t t) {
    const int64_t on = live_at(block, t);
    if (on == live) return live;
    for_fields(net, with.to, frame, totals, [&](T* rows, const T* lanes, int64_t width) {
      store_rows(lanes, width, block.to, on, live, width, rows);
    });
    if (with.read_weights != nullptr)
      store_rows(frame.reading.weights, net.m, block.to, on, live, net.m, static_cast<T*>(with.read_weights));
    return on;
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
