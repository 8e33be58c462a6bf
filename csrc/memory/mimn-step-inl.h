// One step of MIMN for a block of users.
#pragma once

#include "memory/mimn-frame-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// to[d] = from[slot, d], with the chosen slot of each lane.
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

// to[slot, d] = from[d], with the chosen slot of each lane.
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

// Finds the slots with the topk largest weights; the lowest slot wins ties. `rest` is scratch [m].
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

// Computes the write weights of the slots.
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

// Updates the channels of the slots with the largest read weights.
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

// Prefetches the states of the next block in parts between the phases of a step. Prefetching all at once would not be
// faster and would stall the core.
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

// One step: computes the next frame's state (may be the same frame) and updates the totals. `scratch` is [max(m, D)].
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

// Computes the output of a step, frame.out. No later step depends on it.
template <class T>
void say(const MimnNet<T>& net, const MimnFrame<T>& frame, const MimnFrame<T>& next) {
  multiply(net.out_hidden, frame.next_hidden, net.out_b, frame.out);
  multiply_into(net.out_read, next.input + net.d * kUsers<T>, frame.out);
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
