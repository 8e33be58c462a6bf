// MLP weights in panels for both directions, and sums of their gradients.
#pragma once

#include "common/arena.h"
#include "next_event/kernel.h"
#include "simd/products-inl.h"

namespace recops::next_event::RECOPS_ISA {
namespace {

using namespace ::recops::RECOPS_ISA;

// Input width of hidden layer l; the first layer reads states and events separately.
inline int64_t inputs_of(const Problem& problem, int64_t l) { return l == 0 ? problem.width : problem.hidden[l - 1]; }
inline int64_t last_hidden(const Problem& problem) { return problem.hidden[problem.num_hidden - 1]; }

// Panels of one layer: forward with its bias, and backward from outputs to inputs.
template <class T>
struct Layer {
  Panels<T> forward, backward;

  Layer() = default;
  Layer(int64_t inputs, int64_t outputs, Arena& arena)
      : forward{arena.take<T>(Panels<T>::size(inputs, outputs)), inputs, outputs},
        backward{arena.take<T>(Panels<T>::size(outputs, inputs)), outputs, inputs} {}

  // Packs a matrix [outputs, ·] whose rows are `stride` apart.
  void pack(const T* matrix, int64_t stride, const T* bias) const {
    pack_panels<T>(
        forward.depth, forward.width, const_cast<T*>(forward.data),
        [=](int64_t k, int64_t c) { return matrix[c * stride + k]; },
        [=](int64_t c) { return bias == nullptr ? T{0} : bias[c]; });
    pack_panels<T>(
        backward.depth, backward.width, const_cast<T*>(backward.data),
        [=](int64_t k, int64_t c) { return matrix[k * stride + c]; }, [](int64_t) { return T{0}; });
  }
};

// The first layer is split, W_1 = [W_h, W_e], because both loss terms share W_h h + b_1.
template <class T>
struct Net {
  Layer<T> state;
  Layer<T> layers[kMostHidden];  // the first reads events
  T* score;                      // w, padded with zeros

  Net(const Problem& problem, Arena& arena) : state(problem.width, problem.hidden[0], arena) {
    for (int64_t l = 0; l < problem.num_hidden; ++l)
      layers[l] = Layer<T>(inputs_of(problem, l), problem.hidden[l], arena);
    score = arena.take<T>(padded<T>(last_hidden(problem)));
  }

  void pack(const Problem& problem) const {
    const auto weights = [&](int64_t l) { return static_cast<const T*>(problem.weights[l]); };
    const auto bias = [&](int64_t l) { return static_cast<const T*>(problem.biases[l]); };
    state.pack(weights(0), 2 * problem.width, bias(0));
    layers[0].pack(weights(0) + problem.width, 2 * problem.width, nullptr);
    for (int64_t l = 1; l < problem.num_hidden; ++l) layers[l].pack(weights(l), problem.hidden[l - 1], bias(l));
    std::fill_n(score, padded<T>(last_hidden(problem)), T{0});
    std::copy_n(weights(problem.num_hidden), last_hidden(problem), score);
  }
};

// Sums of a group: transposed weight gradients in rows of padded width.
template <class T>
struct Sums {
  T* state;  // [width, hidden[0]]
  T* weights[kMostHidden];
  T* biases[kMostHidden];
  T *score, *score_bias;
  int64_t values;

  Sums(const Problem& problem, void* memory) {
    Arena arena(memory);
    state = arena.take<T>(problem.width * padded<T>(problem.hidden[0]));
    for (int64_t l = 0; l < problem.num_hidden; ++l) {
      weights[l] = arena.take<T>(inputs_of(problem, l) * padded<T>(problem.hidden[l]));
      biases[l] = arena.take<T>(padded<T>(problem.hidden[l]));
    }
    score = arena.take<T>(padded<T>(last_hidden(problem)));
    score_bias = arena.take<T>(1);
    values = arena.used() / int64_t{sizeof(T)};
  }

  // Writes the sums in parameter order.
  void unpack(const Problem& problem, T* to) const {
    for (int64_t l = 0; l < problem.num_hidden; ++l) {
      const int64_t stride = padded<T>(problem.hidden[l]);
      for (int64_t c = 0; c < problem.hidden[l]; ++c) {
        for (int64_t k = 0; l == 0 && k < problem.width; ++k) *to++ = state[k * stride + c];
        for (int64_t k = 0; k < inputs_of(problem, l); ++k) *to++ = weights[l][k * stride + c];
      }
      to = std::copy_n(biases[l], problem.hidden[l], to);
    }
    to = std::copy_n(score, last_hidden(problem), to);
    *to = *score_bias;
  }
};

}  // namespace
}  // namespace recops::next_event::RECOPS_ISA
