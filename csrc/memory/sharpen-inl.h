// Write weights: content weights, shifted to neighbouring slots and sharpened, per lane.
#pragma once

#include "memory/address-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

constexpr double kTiny = 1e-37;  // lower bound on shifted weights before the logarithm

template <class T>
struct Sharpening {
  T *shift = nullptr, *gamma;  // [3], []
  T *moved, *logs;             // [m]

  void take(Arena& arena, int64_t slots) {
    arena.take(shift, 3 * kUsers<T>);
    arena.take(gamma, kUsers<T>);
    arena.take(moved, slots * kUsers<T>);
    arena.take(logs, slots * kUsers<T>);
  }
};

// Requires sharp.shift (a distribution over the offsets 0, +1 and −1) and sharp.gamma.
template <class T>
[[gnu::noinline]] void shift_and_sharpen(const T* weights, int64_t slots, const Sharpening<T>& sharp, T* to) {
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    const Vec<T> stay = load(sharp.shift + lane), forth = load(sharp.shift + kUsers<T> + lane),
                 back = load(sharp.shift + 2 * kUsers<T> + lane);
    Vec<T> most;
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t before = (j + slots - 1) % slots * kUsers<T> + lane, after = (j + 1) % slots * kUsers<T> + lane;
      Vec<T> moved = stay * load(weights + j * kUsers<T> + lane);
      moved = multiply_add<T>(moved, forth, load(weights + before));
      moved = multiply_add<T>(moved, back, load(weights + after));
      store(sharp.moved + j * kUsers<T> + lane, moved);
      const Vec<T> log = logarithm(at_least<T>(moved, static_cast<T>(kTiny)));
      store(sharp.logs + j * kUsers<T> + lane, log);
      most = j == 0 ? log : (log > most ? log : most);
    }
    const Vec<T> gamma = load(sharp.gamma + lane);
    for (int64_t j = 0; j < slots; ++j)
      store(to + j * kUsers<T> + lane, gamma * (load(sharp.logs + j * kUsers<T> + lane) - most));
  }
  softmax(slots, to);
}

// Computes the gradients of content weights, shift and gamma. `grad_write` and `grad_used` are gradients of the same
// weights `sharp_weights`, by writing and by usage. The content weights get only the gradient by writing.
template <class T>
[[gnu::noinline]] void sharpen_back(const T* weights, int64_t slots, const Sharpening<T>& sharp, const T* sharp_weights,
                                    const T* grad_write, const T* grad_used, T* moved_scratch, T* grad_weights,
                                    T* grad_shift, T* grad_gamma) {
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    Vec<T> mean{}, both{};
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t at = j * kUsers<T> + lane;
      const Vec<T> y = load(sharp_weights + at), write = load(grad_write + at);
      mean = multiply_add<T>(mean, y, write);
      both = multiply_add<T>(both, y, write + load(grad_used + at));
    }
    const Vec<T> gamma = load(sharp.gamma + lane), zero{};
    Vec<T> of_gamma{}, stay{}, forth{}, back{};
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t at = j * kUsers<T> + lane;
      const int64_t before = (j + slots - 1) % slots * kUsers<T> + lane, after = (j + 1) % slots * kUsers<T> + lane;
      const Vec<T> y = load(sharp_weights + at), write = load(grad_write + at), moved = load(sharp.moved + at);
      const Vec<T> slope = moved >= static_cast<T>(kTiny) ? gamma * y / moved : zero;
      const Vec<T> total = write + load(grad_used + at) - both;
      of_gamma += y * total * load(sharp.logs + at);
      store(moved_scratch + at, slope * (write - mean));
      const Vec<T> of_moved = slope * total;
      stay += of_moved * load(weights + at);
      forth += of_moved * load(weights + before);
      back += of_moved * load(weights + after);
    }
    const Vec<T> a[] = {load(sharp.shift + lane), load(sharp.shift + kUsers<T> + lane),
                        load(sharp.shift + 2 * kUsers<T> + lane)};
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t before = (j + slots - 1) % slots * kUsers<T> + lane, after = (j + 1) % slots * kUsers<T> + lane;
      store(grad_weights + j * kUsers<T> + lane, a[0] * load(moved_scratch + j * kUsers<T> + lane) +
                                                     a[1] * load(moved_scratch + after) +
                                                     a[2] * load(moved_scratch + before));
    }
    store(grad_gamma + lane, of_gamma);
    store(grad_shift + lane, stay);
    store(grad_shift + kUsers<T> + lane, forth);
    store(grad_shift + 2 * kUsers<T> + lane, back);
  }
  softmax_back(3, sharp.shift, grad_shift);
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
