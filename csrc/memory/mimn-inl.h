// A step of MIMN for a block of users, and the scan made of such steps.
#pragma once

#include "memory/address-inl.h"
#include "memory/gru-inl.h"

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

// to[d] = from[slot, d] with the slot that is chosen in each lane.
template <class T>
[[gnu::noinline]] void take_slots(const T* from, int64_t slots, int64_t size, const T* chosen, T* to) {
  for (int64_t i = 0; i < size * kUsers<T>; i += kLanes<T>) {
    const Vec<T> slot = load(chosen + i % kUsers<T>);
    Vec<T> value = load(from + i);
    for (int64_t j = 1; j < slots; ++j)
      value = slot == static_cast<T>(j) ? load(from + j * size * kUsers<T> + i) : value;
    store(to + i, value);
  }
}

// The other way.
template <class T>
[[gnu::noinline]] void put_slots(const T* from, int64_t slots, int64_t size, const T* chosen, T* to) {
  for (int64_t i = 0; i < size * kUsers<T>; i += kLanes<T>) {
    const Vec<T> slot = load(chosen + i % kUsers<T>), value = load(from + i);
    for (int64_t j = 0; j < slots; ++j) {
      T* const at = to + j * size * kUsers<T> + i;
      store(at, slot == static_cast<T>(j) ? value : load(at));
    }
  }
}

// The slots with the topk largest weights, the lowest of equal ones first. `rest` is scratch [m].
template <class T>
[[gnu::noinline]] void choose(const T* weights, int64_t slots, int64_t topk, T* rest, T* chosen) {
  std::copy_n(weights, slots * kUsers<T>, rest);
  for (int64_t k = 0; k < topk; ++k)
    for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
      Vec<T> best{}, most = load(rest + lane);
      for (int64_t j = 1; j < slots; ++j) {
        const Vec<T> weight = load(rest + j * kUsers<T> + lane);
        best = weight > most ? broadcast(static_cast<T>(j)) : best;
        most = weight > most ? weight : most;
      }
      store(chosen + k * kUsers<T> + lane, best);
      for (int64_t j = 0; j < slots; ++j) {
        T* const at = rest + j * kUsers<T> + lane;
        store(at, best == static_cast<T>(j) ? broadcast(T{-1}) : load(at));
      }
    }
}

template <class T>
void fill_head(const T* values, int64_t key_at, int64_t beta_at, int64_t size, const Head<T>& head) {
  const Vec<T> one = broadcast(T{1});
  for_vectors<T>(size,
                 [&](int64_t i) { store(head.key + i, tanh(clipped<T>(load(values + key_at * kUsers<T> + i)))); });
  for_vectors<T>(1, [&](int64_t i) {
    const Vec<T> beta = clipped<T>(load(values + beta_at * kUsers<T> + i));
    store(head.beta + i, (softplus<T>(beta) + one) * T{2});
  });
}

// How much is written to which slot.
template <class T>
void write_weights(const MimnNet<T>& net, const MimnFrame<T>& frame) {
  const int64_t users = kUsers<T>;
  if (net.utilization == Utilization::none) {
    std::copy_n(frame.writing.weights, net.m * users, frame.write);
  } else if (net.utilization == Utilization::paper) {
    multiply<T>(net.usage, frame.usage, nullptr, frame.share);
    softmax(net.m, frame.share);
    for_vectors<T>(net.m,
                   [&](int64_t i) { store(frame.write + i, load(frame.writing.weights + i) * load(frame.share + i)); });
  } else {
    const Vec<T> one = broadcast(T{1});
    for_vectors<T>(
        3, [&](int64_t i) { store(frame.sharp.shift + i, clipped<T>(load(frame.head + net.shift * users + i))); });
    softmax(3, frame.sharp.shift);
    for_vectors<T>(1, [&](int64_t i) {
      const Vec<T> gamma = clipped<T>(load(frame.head + net.gamma * users + i));
      store(frame.sharp.gamma + i, (softplus<T>(gamma) + one) * T{4});
    });
    shift_and_sharpen(frame.writing.weights, net.m, frame.sharp, frame.write);
  }
}

// The channels of the slots that are read most.
template <class T>
void induce(const MimnNet<T>& net, const MimnFrame<T>& frame, T* scratch, T* channels) {
  const int64_t d = net.d, users = kUsers<T>;
  choose(frame.reading.weights, net.m, net.topk, scratch, frame.chosen);
  for (int64_t k = 0; k < net.topk; ++k) {
    const T* const chosen = frame.chosen + k * users;
    T *const slot = frame.slot + k * d * users, *const channel = frame.channel + k * d * users;
    const GruStep<T> step = frame.moved(net, k);
    take_slots(frame.memory, net.m, d, chosen, slot);
    take_slots(channels, net.m, d, chosen, channel);
    multiply(net.induction.input.columns_from(0, d), frame.x(), net.induction.bias, step.gates);
    multiply_into(net.induction.input.columns_from(d, d), slot, step.gates);
    advance(net.induction, channel, step, scratch);
    put_slots(scratch, net.m, d, chosen, channels);
  }
}

// The states that the next block starts from, fetched bit by bit between the parts of a step: all at once they would
// come no faster and keep the core waiting.
template <class T>
struct Ahead {
  static constexpr int64_t kParts = 8;

  int64_t count = 0;
  const int64_t* rows = nullptr;
  MimnRows from = {};

  void fetch(const MimnNet<T>& net, int64_t part) const {
    const std::pair<const void*, int64_t> fields[] = {{from.hidden, net.h},         {from.read, net.d},
                                                      {from.memory, net.m * net.d}, {from.usage, net.m},
                                                      {from.added, net.d},          {from.channels, net.m * net.d},
                                                      {from.pooled, net.d}};
    for (int64_t i = part * count / kParts; i < (part + 1) * count / kParts; ++i)
      for (const auto& [values, width] : fields)
        recops::memory::RECOPS_ISA::fetch(static_cast<const T*>(values), rows[i], width);
  }
};

// One step: from the frame's state and x to the next frame's state, which may be the same frame, and the totals.
// `scratch` is [max(m, D)].
template <class T>
[[gnu::noinline]] void advance(const MimnNet<T>& net, const MimnFrame<T>& frame, const MimnFrame<T>& next,
                               const MimnTotals<T>& totals, const Ahead<T>& ahead, T* scratch) {
  const int64_t d = net.d, h = net.h, m = net.m, users = kUsers<T>;
  const Vec<T> one = broadcast(T{1});
  multiply(net.controller.input, frame.input, net.controller.bias, frame.controller.gates);
  ahead.fetch(net, 0);
  advance(net.controller, frame.hidden, frame.controller, frame.next_hidden);
  ahead.fetch(net, 1);
  const Vec<T> scale = broadcast(net.usage_scale);
  for_vectors<T>(m, [&](int64_t i) { store(frame.next_hidden + h * users + i, load(frame.usage + i) / scale); });
  multiply(net.head, frame.next_hidden, net.head_b, frame.head);
  ahead.fetch(net, 2);

  fill_head(frame.head, net.read_key, net.read_beta, d, frame.reading);
  fill_head(frame.head, net.write_key, net.write_beta, d, frame.writing);
  norms_of_slots(frame.memory, m, d, frame.norms);
  address(frame.memory, frame.norms, m, d, net.fixed, frame.reading);
  ahead.fetch(net, 3);
  address(frame.memory, frame.norms, m, d, net.fixed, frame.writing);
  ahead.fetch(net, 4);
  write_weights(net, frame);
  if (net.topk > 0) induce(net, frame, scratch, totals.channels);
  ahead.fetch(net, 5);

  for_vectors<T>(d, [&](int64_t i) {
    store(frame.erase + i, sigmoid<T>(clipped<T>(load(frame.head + net.erase * users + i))));
    store(frame.add + i, tanh(clipped<T>(load(frame.head + net.add * users + i))));
  });
  Vec<T> mean[2] = {};
  for_vectors<T>(m, [&](int64_t i) { mean[i % users != 0] += load(frame.write + i); });
  const Vec<T> slots = broadcast(static_cast<T>(m));
  for (Vec<T>& each : mean) each /= slots;
  ahead.fetch(net, 6);
  T* const read = next.input + d * users;
  for_vectors<T>(d, [&](int64_t i) {
    const int64_t lane = i % users;
    const Vec<T> erase = load(frame.erase + i), add = load(frame.add + i);
    Vec<T> sum{};
    for (int64_t j = 0; j < m; ++j) {
      const Vec<T> slot = load(frame.memory + j * d * users + i), write = load(frame.write + j * users + lane);
      sum = multiply_add<T>(sum, load(frame.reading.weights + j * users + lane), slot);
      const Vec<T> kept = rounded<T>(slot * (one - rounded<T>(write * erase)));
      store(next.memory + j * d * users + i, multiply_add<T>(kept, write, add));
    }
    store(read + i, sum);
    store(totals.added + i, multiply_add<T>(load(totals.added + i), mean[lane != 0], add));
    store(totals.pooled + i, load(totals.pooled + i) + load(frame.x() + i));
  });
  for_vectors<T>(m, [&](int64_t i) { store(next.usage + i, load(frame.usage + i) + load(frame.write + i)); });
  std::copy_n(frame.next_hidden, h * users, next.hidden);
  ahead.fetch(net, 7);
}

// What a step says, frame.out; no later step depends on it.
template <class T>
void say(const MimnNet<T>& net, const MimnFrame<T>& frame, const MimnFrame<T>& next) {
  multiply(net.out_hidden, frame.next_hidden, net.out_b, frame.out);
  multiply_into(net.out_read, next.input + net.d * kUsers<T>, frame.out);
}

// f(rows of a field, lanes of it, its width) for every field that is there.
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

// The states kept at a checkpoint, as rows by to[i].
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

// The forward scan of a block. All rows run as long as the longest: one that has ended goes on with zeros, unread.
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
    std::fill_n(frame.reading.weights, net.m * kUsers<T>, T{0});  // of rows without a step
    int64_t live = retire(block, with, block.count, 0);
    int64_t index[kUsers<T>];
    for (int64_t t = 0; live > 0; ++t) {
      if (with.kept.states != nullptr && t > 0 && t % with.kept.every == 0)
        for_fields(
            net, checkpoint(net, with.kept, t / with.kept.every - 1), frame, totals,
            [&](T* rows, const T* lanes, int64_t width) { store_rows(lanes, width, block.to, 0, live, width, rows); });
      input_rows(block, t, live, index);
      load_rows(static_cast<const S*>(with.x), net.d, index, 0, live, Others::zero, frame.x());
      // The first step's parts are time enough.
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
  // Writes what is known of the rows, of the first `live`, that end before step t; how many go on.
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
