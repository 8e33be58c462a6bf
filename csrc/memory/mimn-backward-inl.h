// Backward scan of MIMN. The steps between two checkpoints are recomputed and stored, then processed in reverse order.
#pragma once

#include "memory/mimn-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
struct MimnBack {
  GruBack<T> controller, induction;
  Matrix<T> head, out_hidden, out_read, usage;

  MimnBack(MimnNet<T>& net, Arena& packed, bool pack) {
    controller.take(net.controller, 2 * net.d, packed, pack);
    induction.take(net.induction, net.d, packed, pack);
    head = transposed(net.head.columns_from(0, net.h), packed, pack);
    out_hidden = transposed(net.out_hidden, packed, pack);
    out_read = transposed(net.out_read, packed, pack);
    usage = transposed(net.usage, packed, pack);
    if (net.fixed.slots.data != nullptr) net.fixed.back = transposed(net.fixed.slots, packed, pack);
  }
};

template <class T>
struct MimnSums {
  GruSums<T> controller, induction;
  T *head, *out, *usage, *key_memory;  // rows of padded width
  T *head_bias, *out_bias, *key_norm;  // per user; key_norm [m]: gradients of the norms of static slots
  int64_t values;

  MimnSums(const MimnNet<T>& net, void* memory) {
    Arena arena(memory);
    controller.take(net.controller, arena);
    induction.take(net.induction, arena);
    arena.take(head, net.heads * padded<T>(net.head.columns));
    arena.take(out, net.h * padded<T>(net.h + net.d));
    arena.take(usage, net.m * padded<T>(net.m));
    arena.take(key_memory, net.m * padded<T>(net.d));
    arena.take(head_bias, net.heads * kUsers<T>);
    arena.take(out_bias, net.h * kUsers<T>);
    arena.take(key_norm, net.m * kUsers<T>);
    values = arena.used() / int64_t{sizeof(T)};
  }

  void unpack(const MimnNet<T>& net, const MimnGradients& to) const {
    controller.unpack(net.controller, to.controller.w_ih, to.controller.w_hh, to.controller.bias);
    induction.unpack(net.induction, to.induction.w_ih, to.induction.w_hh, to.induction.bias);
    T* const head_w = static_cast<T*>(to.head_w);
    std::fill_n(head_w, net.heads * (net.h + net.m), T{0});
    unpad(head, net.heads, net.head.columns, net.h + net.m, head_w);
    sum_lanes(head_bias, net.heads, static_cast<T*>(to.head_b));
    unpad(out, net.h, net.h + net.d, net.h + net.d, static_cast<T*>(to.out_w));
    sum_lanes(out_bias, net.h, static_cast<T*>(to.out_b));
    unpad(usage, net.m, net.m, net.m, static_cast<T*>(to.usage_w));
    if (to.key_memory == nullptr) return;
    T* const keys = static_cast<T*>(to.key_memory);
    unpad(key_memory, net.m, net.d, net.d, keys);
    for (int64_t j = 0; j < net.m; ++j) {
      const T norm = net.fixed.norms[j], along = norm > 0 ? sum_of_lanes(key_norm + j * kUsers<T>) / norm : T{0};
      for (int64_t i = 0; i < net.d; ++i) keys[j * net.d + i] += along * net.fixed.slots.data[j * net.d + i];
    }
  }
};

template <class S>
struct MimnBackScan {
  using T = Compute<S>;

  Arena packed_arena, arena;
  MimnNet<T> net;
  MimnBack<T> back;
  int64_t every;
  MimnFrame<T> frame;  // current frame; frames are consecutive in memory
  int64_t frame_bytes;
  // Gradients of the state after the current step, then of the state before it. grad.input holds those of x and of the
  // previous read.
  MimnFrame<T> grad;
  MimnTotals<T> totals, grad_totals;
  T *scratch, *grad_x, *grad_out, *grad_hidden, *grad_read, *grad_reading, *grad_write, *grad_content, *grad_head;
  T *grad_erase, *grad_add, *grad_gates, *grad_reset, *grad_channel;
  HeadBack<T> head_back;
  SampleRows<T> left, right;

  MimnBackScan(const Mimn& mimn, const void* packed, void* memory, int64_t every)
      : packed_arena(const_cast<void*>(packed)),
        arena(memory),
        net(mimn, packed_arena),
        back(net, packed_arena, false),
        every(every),
        left(arena, std::max({3 * net.h, 3 * net.d, net.heads, net.m})),
        right(arena, std::max({2 * net.d, net.h + net.d, net.h + net.m})) {
    const int64_t users = kUsers<T>, d = net.d, h = net.h, m = net.m;
    totals.take(net, arena);
    grad_totals.take(net, arena);
    arena.take(scratch, std::max(m, d) * users);
    arena.take(grad.hidden, h * users);
    arena.take(grad.memory, m * d * users);
    arena.take(grad.usage, m * users);
    arena.take(grad.input, 2 * d * users);
    arena.take(grad_x, d * users);
    arena.take(grad_out, h * users);
    arena.take(grad_hidden, h * users);
    arena.take(grad_read, d * users);
    arena.take(grad_reading, m * users);
    arena.take(grad_write, m * users);
    arena.take(grad_content, m * users);
    arena.take(grad_head, net.heads * users);
    arena.take(grad_erase, d * users);
    arena.take(grad_add, d * users);
    arena.take(grad_gates, 3 * std::max(h, d) * users);
    arena.take(grad_reset, std::max(h, d) * users);
    arena.take(grad_channel, d * users);
    head_back.take(arena, d, m);
    const int64_t begin = arena.used();
    frame.take(net, arena);
    frame_bytes = arena.used() - begin;
    for (int64_t i = 0; i < every; ++i) arena.take<char>(frame_bytes - kCacheLine);
    frames_ = memory == nullptr ? nullptr : static_cast<char*>(memory) + begin;
  }

  void run(const Block& block, const MimnBackward& from, const MimnSums<T>& sums) {
    const int64_t users = kUsers<T>, steps = block.count == 0 ? 0 : block.lengths[0];
    clear();
    for (int64_t begin = steps == 0 ? -1 : (steps - 1) / every * every; begin >= 0; begin -= every) {
      const int64_t end = std::min(begin + every, steps);
      take_again(block, from, begin, end);
      for (int64_t t = end; t-- > begin;) {
        const int64_t live = live_at(block, t);
        int64_t index[kUsers<T>];
        input_rows(block, t, live, index);
        load_rows(static_cast<const S*>(from.grad_outputs), net.h, index, 0, live, Others::zero, grad_out);
        std::fill_n(grad_reading, net.m * users, T{0});
        end_rows(block, from, live_at(block, t + 1), live);
        go_back(at(t - begin), at(t - begin + 1), live, sums);
        store_rows(grad_x, net.d, index, 0, live, net.d, static_cast<T*>(from.grad_x));
      }
    }
    end_rows(block, from, live_at(block, 0), block.count);
    for_fields(net, from.grad_from, grad, grad_totals, [&](T* rows, const T* lanes, int64_t width) {
      store_rows(lanes, width, block.from, 0, block.count, width, rows);
    });
  }

 private:
  char* frames_;

  // Frame of a step since the last checkpoint.
  MimnFrame<T> at(int64_t step) const {
    MimnFrame<T> moved;
    Arena place(frames_ + step * frame_bytes);
    moved.take(net, place);
    return moved;
  }

  void clear() {
    const int64_t users = kUsers<T>;
    std::fill_n(grad.hidden, net.h * users, T{0});
    std::fill_n(grad.memory, net.m * net.d * users, T{0});
    std::fill_n(grad.usage, net.m * users, T{0});
    std::fill_n(grad.input, 2 * net.d * users, T{0});
    for (const MimnTotals<T>& each : {totals, grad_totals}) {
      std::fill_n(each.added, net.d * users, T{0});
      std::fill_n(each.channels, net.m * net.d * users, T{0});
      std::fill_n(each.pooled, net.d * users, T{0});
    }
  }

  // Adds the gradients of the final states of rows [begin, end), which have no later step.
  void end_rows(const Block& block, const MimnBackward& from, int64_t begin, int64_t end) {
    if (begin == end) return;
    for_fields(net, from.grad_to, grad, grad_totals, [&](const T* rows, T* lanes, int64_t width) {
      load_rows(rows, width, block.to, begin, end, Others::keep, lanes);
    });
    load_rows(static_cast<const T*>(from.grad_weights), net.m, block.to, begin, end, Others::keep, grad_reading);
  }

  void take_again(const Block& block, const MimnBackward& from, int64_t begin, int64_t end) {
    const int64_t live = live_at(block, begin);
    const MimnRows rows = begin == 0 ? from.from : checkpoint(net, from.kept, begin / every - 1);
    const int64_t* const index = begin == 0 ? block.from : block.to;
    for_fields(net, rows, at(0), totals, [&](const T* from_rows, T* lanes, int64_t width) {
      load_rows(from_rows, width, index, 0, live, Others::zero, lanes);
    });
    for (int64_t t = begin; t < end; ++t) {
      const int64_t now = live_at(block, t);
      int64_t inputs[kUsers<T>];
      input_rows(block, t, now, inputs);
      const MimnFrame<T> frame = at(t - begin);
      load_rows(static_cast<const S*>(from.x), net.d, inputs, 0, now, Others::zero, frame.x());
      advance(net, frame, at(t - begin + 1), totals, Ahead<T>{}, scratch);
      say(net, frame, at(t - begin + 1));
    }
  }

  // Computes the gradients before a step, and grad_x, from those after it (grad, grad_totals, grad_out, grad_reading).
  void go_back(const MimnFrame<T>& now, const MimnFrame<T>& next, int64_t live, const MimnSums<T>& sums) {
    const int64_t d = net.d, h = net.h, users = kUsers<T>;
    T* const read_grad = grad.input + d * users;
    const T* const read = next.input + d * users;

    for_vectors<T>(h, [&](int64_t i) { store(grad_out + i, unclipped<T>(load(grad_out + i), load(now.out + i))); });
    add_outer_products(left.of(grad_out, h, live), right.of(now.next_hidden, h, read, d, live), live, sums.out);
    add_values(grad_out, h, sums.out_bias);
    std::copy_n(grad.hidden, h * users, grad_hidden);
    multiply_into(back.out_hidden, grad_out, grad_hidden);
    std::copy_n(read_grad, d * users, grad_read);
    multiply_into(back.out_read, grad_out, grad_read);

    write_back(now);
    std::copy_n(grad_totals.pooled, d * users, grad_x);
    induce_back(now, live, sums);
    weights_back(now, live, sums);
    head_of(now, live, sums, now.reading, net.read_key, net.read_beta, grad_reading);
    head_of(now, live, sums, now.writing, net.write_key, net.write_beta, grad_content);
    const Vec<T> one = broadcast(T{1});
    for_vectors<T>(d, [&](int64_t i) {
      const Vec<T> erase = load(now.erase + i), add = load(now.add + i);
      to_head(now, net.erase * users + i, load(grad_erase + i) * erase * (one - erase));
      to_head(now, net.add * users + i, load(grad_add + i) * (one - add * add));
    });
    add_outer_products(left.of(grad_head, net.heads, live), right.of(now.next_hidden, net.head.columns, live), live,
                       sums.head);
    add_values(grad_head, net.heads, sums.head_bias);
    multiply_into(back.head, grad_head, grad_hidden);

    recops::memory::RECOPS_ISA::go_back(net.controller, back.controller, now.hidden, now.controller, grad_hidden,
                                        grad_gates, grad_reset, grad.hidden);
    const Samples<T> grads =
        sums.controller.add(net.controller, now.hidden, now.controller, grad_gates, live, left, right);
    add_outer_products(grads, right.of(now.input, 2 * d, live), live, sums.controller.input);
    multiply<T>(back.controller.input, grad_gates, nullptr, grad.input);
    add_values(grad.input, d, grad_x);
  }

  void to_head(const MimnFrame<T>& now, int64_t at, Vec<T> value) {
    store(grad_head + at, unclipped<T>(value, load(now.head + at)));
  }

  // Backward through reading and writing: grad.memory becomes the gradient of the memory before the step.
  [[gnu::noinline]] void write_back(const MimnFrame<T>& now) {
    const int64_t d = net.d, m = net.m, users = kUsers<T>;
    const Vec<T> one = broadcast(T{1}), slots = broadcast(static_cast<T>(m));
    for (int64_t lane = 0; lane < users; lane += kLanes<T>) {
      Vec<T> mean{};
      for (int64_t j = 0; j < m; ++j) mean += load(now.write + j * users + lane);
      mean /= slots;
      for (int64_t i = lane; i < d * users; i += users) {
        store(grad_erase + i, Vec<T>{});
        store(grad_add + i, load(grad_totals.added + i) * mean);
      }
      for (int64_t j = 0; j < m; ++j) {
        const Vec<T> write = load(now.write + j * users + lane), weight = load(now.reading.weights + j * users + lane);
        Vec<T> of_write{}, of_read{};
        for (int64_t i = lane; i < d * users; i += users) {
          T* const at = grad.memory + j * d * users + i;
          const Vec<T> grad_slot = load(at), slot = load(now.memory + j * d * users + i);
          const Vec<T> erase = load(now.erase + i), add = load(now.add + i), of_value = load(grad_read + i);
          const Vec<T> weighed = grad_slot * write;
          of_write += grad_slot * (add - slot * erase);
          of_read += of_value * slot;
          store(grad_erase + i, load(grad_erase + i) - weighed * slot);
          store(grad_add + i, load(grad_add + i) + weighed);
          store(at, grad_slot * (one - write * erase) + weight * of_value);
        }
        store(grad_write + j * users + lane, of_write);
        store(grad_reading + j * users + lane, load(grad_reading + j * users + lane) + of_read);
      }
    }
  }

  void induce_back(const MimnFrame<T>& now, int64_t live, const MimnSums<T>& sums) {
    const int64_t d = net.d, users = kUsers<T>;
    for (int64_t k = 0; k < net.topk; ++k) {
      const T *const chosen = now.chosen + k * users, *const channel = now.channel + k * d * users;
      const GruStep<T> step = now.moved(net, k);
      take_slots(grad_totals.channels, net.m, d, chosen, grad_channel);
      recops::memory::RECOPS_ISA::go_back(net.induction, back.induction, channel, step, grad_channel, grad_gates,
                                          grad_reset, grad_channel);
      const Samples<T> grads = sums.induction.add(net.induction, channel, step, grad_gates, live, left, right);
      add_outer_products(grads, right.of(now.x(), d, now.slot + k * d * users, d, live), live, sums.induction.input);
      multiply_into(back.induction.input, grad_gates, grad_x);
      put_slots(grad_channel, net.m, d, chosen, grad_totals.channels);
    }
  }

  // Computes grad_content, the head's gradients of shift and gamma, and grad.usage from grad_write and grad.usage.
  void weights_back(const MimnFrame<T>& now, int64_t live, const MimnSums<T>& sums) {
    const int64_t m = net.m, users = kUsers<T>;
    std::fill_n(grad_head + net.shift * users, 4 * users, T{0});
    if (net.utilization == Utilization::none) {
      for_vectors<T>(m, [&](int64_t i) { store(grad_content + i, load(grad_write + i) + load(grad.usage + i)); });
    } else if (net.utilization == Utilization::paper) {
      T* const grad_share = scratch;
      for_vectors<T>(m, [&](int64_t i) {
        const Vec<T> both = load(grad_write + i) + load(grad.usage + i);
        store(grad_content + i, both * load(now.share + i));
        store(grad_share + i, both * load(now.writing.weights + i));
      });
      softmax_back(m, now.share, grad_share);
      add_outer_products(left.of(grad_share, m, live), right.of(now.usage, m, live), live, sums.usage);
      multiply_into(back.usage, grad_share, grad.usage);
    } else {
      T *const grad_shift = grad_head + net.shift * users, *const grad_gamma = grad_head + net.gamma * users;
      sharpen_back(now.writing.weights, m, now.sharp, now.write, grad_write, grad.usage, scratch, grad_content,
                   grad_shift, grad_gamma);
      for_vectors<T>(3, [&](int64_t i) { to_head(now, net.shift * users + i, load(grad_shift + i)); });
      for_vectors<T>(1, [&](int64_t i) {
        const Vec<T> slope = sigmoid<T>(clipped<T>(load(now.head + net.gamma * users + i))) * T{4};
        to_head(now, net.gamma * users + i, load(grad_gamma + i) * slope);
      });
    }
  }

  // Backward through addressing: gradients of the head's key and beta from the gradient of the weights.
  void head_of(const MimnFrame<T>& now, int64_t live, const MimnSums<T>& sums, const Head<T>& head, int64_t key,
               int64_t beta, T* grad_weights) {
    const int64_t d = net.d, m = net.m, users = kUsers<T>;
    const Vec<T> one = broadcast(T{1});
    address_back(now.memory, now.norms, m, d, net.fixed, head, grad_weights, head_back, grad.memory);
    if (net.fixed.slots.data != nullptr) {
      add_outer_products(left.of(head_back.dot_static, m, live), right.of(head.key, d, live), live, sums.key_memory);
      add_values(head_back.norm_static, m, sums.key_norm);
    }
    for_vectors<T>(d, [&](int64_t i) {
      const Vec<T> value = load(head.key + i);
      to_head(now, key * users + i, load(head_back.key + i) * (one - value * value));
    });
    for_vectors<T>(1, [&](int64_t i) {
      const Vec<T> slope = sigmoid<T>(clipped<T>(load(now.head + beta * users + i))) * T{2};
      to_head(now, beta * users + i, load(head_back.beta + i) * slope);
    });
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
