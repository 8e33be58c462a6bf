// Gate arithmetic of one row at one step, forward and backward: everything except the matrix products.
#pragma once

#include "recurrent/kernel.h"
#include "simd/lanes-inl.h"
#include "simd/sigmoid-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

// A Mix for one attention value: k = base + slope·z.
template <class T>
struct RowMix {
  T base, slope;
};

// A Mix in the compute type: dk/da = base_attention + slope_attention·z.
template <class T>
struct MixOf {
  T base, base_attention, slope, slope_attention;

  explicit MixOf(const Mix& mix)
      : base(static_cast<T>(mix.base)),
        base_attention(static_cast<T>(mix.base_attention)),
        slope(static_cast<T>(mix.slope)),
        slope_attention(static_cast<T>(mix.slope_attention)) {}

  RowMix<T> at(T attention) const { return {base + base_attention * attention, slope + slope_attention * attention}; }
};

// z = σ(z_sum), n = tanh(n_sum), computed with a single division, and the new state.
template <class T>
struct Update {
  Vec<T> z, n, state;

  Update(Vec<T> z_sum, Vec<T> n_sum, Vec<T> h, const RowMix<T>& mix) {
    const Vec<T> one = broadcast(T{1});
    const Vec<T> z_divisor = add_decay<T>(one, z_sum, 1);
    const Vec<T> decay = add_decay<T>(Vec<T>{}, n_sum, 2);
    const Vec<T> n_divisor = one + decay;
    const Vec<T> inverse = one / (z_divisor * n_divisor);
    z = n_divisor * inverse;
    n = rounded<T>((one - decay) * z_divisor *
                   inverse);  // rounded so that n has the same value whether or not it is kept
    state = h + (mix.base + mix.slope * z) * (n - h);
  }
};

// Rows at one step. `gates` and `kept` end with their last value; the other rows are padded to whole vectors.
template <class S>
struct StepRows {
  using T = Compute<S>;

  int64_t count, hidden;
  RowMix<T> mix[kBlockRows];
  const T* gates[kBlockRows];
  T* kept[kBlockRows];     // r, z, n, q: required for all rows, or null for all
  S* outputs[kBlockRows];  // destination of the new states, or null
  const T* products;       // W_hh h + b_hh: r, z, n; only r and z with reset_before
  int64_t products_stride;
  const T* state;      // h
  T* next;             // h'; may be the same memory as h
  T* reset;            // with reset_before: r·h
  const T* candidate;  // with reset_before: W_n (r·h) + b_n
  int64_t stride;      // of these four
};

// A step with the reset after the product, or the second half of a step with the reset before it.
template <bool before, bool keep, class S>
[[gnu::noinline]] void step_rows(const StepRows<S>& rows) {
  using T = Compute<S>;
  const int64_t hidden = rows.hidden;
  for (int64_t i = 0; i < rows.count; ++i) {
    const T *const gates = rows.gates[i], *const products = rows.products + i * rows.products_stride,
                   *const state = rows.state + i * rows.stride;
    T *const next = rows.next + i * rows.stride, *const kept = rows.kept[i];
    S* const outputs = rows.outputs[i];
    const RowMix<T> mix = rows.mix[i];
    for (int64_t j = 0; j < hidden; j += kLanes<T>) {
      const int64_t count = hidden - j;
      const Vec<T> z_sum = load_as_compute(gates + hidden + j, count) + load(products + hidden + j);
      Vec<T> n_sum = load_as_compute(gates + 2 * hidden + j, count), r, q;
      if constexpr (before) {
        n_sum += load(rows.candidate + i * rows.stride + j);
      } else {
        r = sigmoid<T>(load_as_compute(gates + j, count) + load(products + j));
        q = load(products + 2 * hidden + j);
        n_sum += r * q;
      }
      const Update<T> update(z_sum, n_sum, load(state + j), mix);
      store(next + j, update.state);
      if (outputs != nullptr) store_as(outputs + j, update.state, count);
      if constexpr (keep) {
        store_as(kept + hidden + j, update.z, count);
        store_as(kept + 2 * hidden + j, update.n, count);
        if constexpr (!before) {
          store_as(kept + j, r, count);
          store_as(kept + 3 * hidden + j, q, count);
        }
      }
    }
  }
}

// First half of a step with the reset before the product: r·h, which is then multiplied by W_n.
template <bool keep, class S>
[[gnu::noinline]] void reset_rows(const StepRows<S>& rows) {
  using T = Compute<S>;
  for (int64_t i = 0; i < rows.count; ++i)
    for (int64_t j = 0; j < rows.hidden; j += kLanes<T>) {
      const int64_t count = rows.hidden - j;
      const Vec<T> products = load(rows.products + i * rows.products_stride + j);
      const Vec<T> r = sigmoid<T>(load_as_compute(rows.gates[i] + j, count) + products);
      store(rows.reset + i * rows.stride + j, r * load(rows.state + i * rows.stride + j));
      if constexpr (keep) store_as(rows.kept[i] + j, r, count);
    }
}

// ---- Backward. d means the gradient of the following value, s the gradient of the sum inside a gate:
//   dk = dh'·(n − h),  dn = dh'·k,  dh = dh' − dn,  da = Σ dk·∂k/∂a
//   sz = slope·dk·z(1 − z),  sn = dn·(1 − n²)
//   reset after: sr = sn·q·r(1 − r), dq = sn·r
//   reset before: with d(rh) = W_nᵀ sn, sr = d(rh)·h·r(1 − r), dh += d(rh)·r

// Rows at one step of the backward pass. `kept` ends with its last value.
template <class T>
struct BackwardRows {
  int64_t count, hidden;
  MixOf<T> coefficients;
  RowMix<T> mix[kBlockRows];
  const T* kept[kBlockRows];  // r, z, n, q
  T* grad_attention[kBlockRows];
  const T* state;       // h
  T* grad;              // dh', then the part of dh that does not pass through matrix products
  const T* reset_grad;  // with reset_before: d(rh)
  T* reset_state;       // with reset_before: r·h
  int64_t stride;       // of these four
  T* sums;              // sn, sr, sz and, with the reset after, dq; each [hidden]
  int64_t sums_stride;
};

// The whole step with the reset after; with the reset before, everything except sr and the part of dh from d(rh).
template <bool before, class T>
[[gnu::noinline]] void step_backward(const BackwardRows<T>& rows) {
  const Vec<T> one = broadcast(T{1});
  const int64_t hidden = rows.hidden;
  const MixOf<T> coefficients = rows.coefficients;
  for (int64_t i = 0; i < rows.count; ++i) {
    const T *const kept = rows.kept[i], *const state = rows.state + i * rows.stride;
    T *const grads = rows.grad + i * rows.stride, *const sums = rows.sums + i * rows.sums_stride;
    const RowMix<T> mix = rows.mix[i];
    Vec<T> grad_attention = {};
    for (int64_t j = 0; j < hidden; j += kLanes<T>) {
      const int64_t count = hidden - j;
      const Vec<T> z = load_as_compute(kept + hidden + j, count), n = load_as_compute(kept + 2 * hidden + j, count);
      const Vec<T> grad = load_as_compute(grads + j, count);
      const Vec<T> dk = grad * (n - load_as_compute(state + j, count));
      const Vec<T> dn = grad * (mix.base + mix.slope * z);
      store(grads + j, grad - dn);
      grad_attention += dk * (coefficients.base_attention + coefficients.slope_attention * z);
      const Vec<T> sn = dn * (one - n * n);
      store_as(sums + j, sn, count);
      store_as(sums + 2 * hidden + j, mix.slope * dk * (z * (one - z)), count);
      if constexpr (!before) {
        const Vec<T> r = load_as_compute(kept + j, count), q = load_as_compute(kept + 3 * hidden + j, count);
        const Vec<T> dq = sn * r;
        store_as(sums + hidden + j, dq * q * (one - r), count);
        store_as(sums + 3 * hidden + j, dq, count);
      }
    }
    if (rows.grad_attention[i] != nullptr) *rows.grad_attention[i] = reduce_add<T>(grad_attention);
  }
}

// The remaining part with the reset before; also computes r·h.
template <class T>
[[gnu::noinline]] void reset_backward(const BackwardRows<T>& rows) {
  const Vec<T> one = broadcast(T{1});
  for (int64_t i = 0; i < rows.count; ++i)
    for (int64_t j = 0; j < rows.hidden; j += kLanes<T>) {
      const int64_t at = i * rows.stride + j, count = rows.hidden - j;
      const Vec<T> r = load_as_compute(rows.kept[i] + j, count);
      const Vec<T> rh = r * load(rows.state + at), through = load(rows.reset_grad + at);
      store_as(rows.sums + i * rows.sums_stride + rows.hidden + j, through * rh * (one - r), count);
      store(rows.grad + at, load(rows.grad + at) + through * r);
      store(rows.reset_state + at, rh);
    }
}

}  // namespace
}  // namespace recops::recurrent::RECOPS_ISA
