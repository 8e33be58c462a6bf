// One layer on columns. Activations of d features are [d][stride] vectors; adjacent streams (orders and positions) use
// the same weights. Every weight is a vector with one value per lane.
#pragma once

#include <algorithm>
#include <type_traits>

#include "coaction/net.h"
#include "simd/tanh-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

constexpr int kTileRows = 4;
// With this many streams, a tile of 4 outputs needs fewer loads than FMAs and stays in registers.
constexpr int kTileStreams = kVectorRegisters == 32 ? 6 : 3;

// Calls f(std::integral_constant<int, n>) for 1 ≤ n ≤ most.
template <int most, class F>
inline void with_count(int64_t n, const F& f) {
  if constexpr (most > 1)
    if (n < most) return with_count<most - 1>(n, f);
  f(std::integral_constant<int, most>{});
}

// Weights of a layer: w[k · input + o · output] connects input k with output o.
template <class T>
struct Weights {
  const Vec<T>* w;
  int64_t input, output;

  // The weights of outputs from `o` on.
  Weights from(int64_t o) const { return {w + o * output, input, output}; }
};

// Calls f(rows, count, o, stream) for tiles of `rows` outputs from o on and `count` streams from `stream` on.
template <class F>
void for_tiles(int64_t outputs, int64_t streams, const F& f) {
  for (int64_t stream = 0; stream < streams; stream += kTileStreams)
    with_count<kTileStreams>(std::min<int64_t>(kTileStreams, streams - stream), [&](auto count) {
      int64_t o = 0;
      for (; o + kTileRows <= outputs; o += kTileRows) f(std::integral_constant<int, kTileRows>{}, count, o, stream);
      for (; o < outputs; ++o) f(std::integral_constant<int, 1>{}, count, o, stream);
    });
}

// sum[o, s] += Σ_k in[k, s] · weight(k, o)
template <int R, int S, class T>
inline void add_products(const Vec<T>* in, int64_t inputs, int64_t stride, Weights<T> weights, Vec<T> (&sum)[R][S]) {
  for (int64_t k = 0; k < inputs; ++k, in += stride, weights.w += weights.input) {
    Vec<T> x[S];
#pragma GCC unroll 6
    for (int s = 0; s < S; ++s) x[s] = in[s];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> weight = weights.w[r * weights.output];
#pragma GCC unroll 6
      for (int s = 0; s < S; ++s) sum[r][s] += x[s] * weight;
    }
  }
}

// Computes bias[o] + Σ_k in[k] · weight(k, o) for each stream. finish(o, stream, sum) receives the sums of a tile while
// they are in registers: outputs o, o + 1, … and streams stream, stream + 1, …
template <class T, class Finish>
void multiply(const Vec<T>* in, int64_t inputs, int64_t stride, int64_t streams, const Weights<T>& weights,
              const Vec<T>* bias, int64_t outputs, const Finish& finish) {
  for_tiles(outputs, streams, [&](auto rows, auto count, int64_t o, int64_t stream) {
    constexpr int R = rows, S = count;
    Vec<T> sum[R][S];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 6
      for (int s = 0; s < S; ++s) sum[r][s] = bias ? bias[o + r] : Vec<T>{};
    add_products<R, S, T>(in + stream, inputs, stride, weights.from(o), sum);
    finish(o, stream, sum);
  });
}

// For `multiply`: stores the sums as columns [outputs][stride].
template <class T>
auto store_to(Vec<T>* out, int64_t stride) {
  return [=]<int R, int S>(int64_t o, int64_t stream, const Vec<T>(&sum)[R][S]) {
    Vec<T>* to = out + o * stride + stream;
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 6
      for (int s = 0; s < S; ++s) to[r * stride + s] = sum[r][s];
  };
}

template <int R, int S, class T>
inline void outer_tile(const Vec<T>* in, const Vec<T>* grad, int64_t stride, int64_t streams, bool add, Vec<T>* sums,
                       int64_t outputs) {
  Vec<T> sum[R][S];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) sum[r][s] = add ? sums[r * outputs + s] : Vec<T>{};
  for (int64_t stream = 0; stream < streams; ++stream) {
    Vec<T> g[S];
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) g[s] = grad[s * stride + stream];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = in[r * stride + stream];
#pragma GCC unroll 4
      for (int s = 0; s < S; ++s) sum[r][s] += x * g[s];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) sums[r * outputs + s] = sum[r][s];
}

// sums[k, o] = Σ in[k] · grad[o] over streams, the gradient of the weights [inputs, outputs]. With `add`, it is added
// to sums.
template <class T>
void sum_outer(const Vec<T>* in, int64_t inputs, const Vec<T>* grad, int64_t outputs, int64_t stride, int64_t streams,
               bool add, Vec<T>* sums) {
  constexpr int kColumns = kVectorRegisters == 32 ? 4 : 2;
  const auto row = [&](auto rows, int64_t k) {
    const auto tile = [&](auto columns, int64_t o) {
      outer_tile<rows, columns, T>(in + k * stride, grad + o * stride, stride, streams, add, sums + k * outputs + o,
                                   outputs);
    };
    int64_t o = 0;
    for (; o + kColumns <= outputs; o += kColumns) tile(std::integral_constant<int, kColumns>{}, o);
    for (; o < outputs; ++o) tile(std::integral_constant<int, 1>{}, o);
  };
  int64_t k = 0;
  for (; k + kTileRows <= inputs; k += kTileRows) row(std::integral_constant<int, kTileRows>{}, k);
  for (; k < inputs; ++k) row(std::integral_constant<int, 1>{}, k);
}

// ---- Activations, and their derivatives as functions of their results.

constexpr double kSeluScale = 1.0507009873554804934193349852946, kSeluAlpha = 1.6732632423543772848170429916717;

template <class T>
inline Vec<T> selu(Vec<T> x) {
  // e^x − 1 = 2t / (1 − t) with t = tanh(x/2), which does not cancel near 0.
  const Vec<T> t = tanh(at_most(x, T{0}) * T{0.5});
  const Vec<T> negative = t * static_cast<T>(2 * kSeluScale * kSeluAlpha) / (1 - t);
  return x > 0 ? x * static_cast<T>(kSeluScale) : negative;
}

template <class T, class F>
inline void with_activation(Activation kind, const F& f) {
  const Vec<T> zero{}, one = broadcast(T{1}), scale = broadcast(static_cast<T>(kSeluScale));
  switch (kind) {
    case Activation::none: return;
    case Activation::relu:
      return f([](Vec<T> x) { return at_least(x, T{0}); }, [=](Vec<T> h) { return h > 0 ? one : zero; });
    case Activation::tanh: return f([](Vec<T> x) { return tanh(x); }, [=](Vec<T> h) { return one - h * h; });
    case Activation::selu:
      return f([](Vec<T> x) { return selu<T>(x); },
               [=](Vec<T> h) { return h > 0 ? scale : h + static_cast<T>(kSeluScale * kSeluAlpha); });
  }
}

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
