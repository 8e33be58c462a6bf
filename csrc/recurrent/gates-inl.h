// The arithmetic of the gates of one row at one step, forward and backward: everything that is not a matrix product.
#pragma once

#include "exp2.h"
#include "recurrent/kernel.h"
#include "simd.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

// k = base + slope·z, and a's part in it: dk/da = base_attention + slope_attention·z.
template <class T>
struct RowMix {
  T base, slope, base_attention, slope_attention;

  RowMix(const Mix& mix, T attention)
      : base(static_cast<T>(mix.base) + static_cast<T>(mix.base_attention) * attention),
        slope(static_cast<T>(mix.slope) + static_cast<T>(mix.slope_attention) * attention),
        base_attention(static_cast<T>(mix.base_attention)),
        slope_attention(static_cast<T>(mix.slope_attention)) {}
};

// sum + e^(−scale·x), no more than 2^60 (2^500): the product of two such sums is finite.
template <class T>
inline Vec<T> add_decay(Vec<T> sum, Vec<T> x, double scale) {
  constexpr T kLeast = sizeof(T) == 4 ? T{-60} : T{-500};
  return add_exp2(sum, -at_least<T>(x * static_cast<T>(scale * kLog2E), kLeast));
}

template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = broadcast(T{1});
  return one / add_decay<T>(one, x, 1);
}

// f(j, count) for the vectors of a row of `size` values: where each starts and how many lanes of it count.
template <class T, class F>
inline void for_vectors(int64_t size, const F& f) {
  int64_t j = 0;
  for (; j + kLanes<T> <= size; j += kLanes<T>) f(j, int64_t{kLanes<T>});
  if (j < size) f(j, size - j);
}

// z = σ(of its sum), n = tanh(of its sum) with one division for both, and the state they lead to.
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
    n = (one - decay) * z_divisor * inverse;
    state = h + (mix.base + mix.slope * z) * (n - h);
  }
};

// What a row has at hand: its gates g (read to their last value, no further), its products with W_hh, its state h.
// Products and states may be read and written in whole vectors.
template <class T>
struct RowStep {
  int64_t hidden;
  RowMix<T> mix;
  const T* gates;
  T* products;  // W_hh h + b_hh, [3, hidden]; with the reset before, of r and z alone
  const T* state;
  T* next;
  T* kept;  // r, z, n, q; or null
};

template <class T>
inline void keep_values(const RowStep<T>& row, int64_t gate, int64_t j, Vec<T> values, int64_t count) {
  if (row.kept != nullptr) store_as(row.kept + gate * row.hidden + j, values, count);
}

// The step of a row whose reset comes after the product.
template <class T>
void step_after(const RowStep<T>& row) {
  const int64_t hidden = row.hidden;
  for_vectors<T>(hidden, [&](int64_t j, int64_t count) {
    const Vec<T> q = load(row.products + 2 * hidden + j);
    const Vec<T> r = sigmoid<T>(load_as_compute(row.gates + j, count) + load(row.products + j));
    const Vec<T> z_sum = load_as_compute(row.gates + hidden + j, count) + load(row.products + hidden + j);
    const Vec<T> n_sum = load_as_compute(row.gates + 2 * hidden + j, count) + r * q;
    const Update<T> update(z_sum, n_sum, load(row.state + j), row.mix);
    store(row.next + j, update.state);
    keep_values(row, 0, j, r, count);
    keep_values(row, 1, j, update.z, count);
    keep_values(row, 2, j, update.n, count);
    keep_values(row, 3, j, q, count);
  });
}

// Its two halves where the reset comes before: r·h first, to be multiplied with W_n ...
template <class T>
void reset_before(const RowStep<T>& row, T* reset_state) {
  for_vectors<T>(row.hidden, [&](int64_t j, int64_t count) {
    const Vec<T> r = sigmoid<T>(load_as_compute(row.gates + j, count) + load(row.products + j));
    store(reset_state + j, r * load(row.state + j));
    keep_values(row, 0, j, r, count);
  });
}

// ... then the rest, given W_n (r·h) + b_n.
template <class T>
void step_before(const RowStep<T>& row, const T* candidate) {
  const int64_t hidden = row.hidden;
  for_vectors<T>(hidden, [&](int64_t j, int64_t count) {
    const Vec<T> z_sum = load_as_compute(row.gates + hidden + j, count) + load(row.products + hidden + j);
    const Vec<T> n_sum = load_as_compute(row.gates + 2 * hidden + j, count) + load(candidate + j);
    const Update<T> update(z_sum, n_sum, load(row.state + j), row.mix);
    store(row.next + j, update.state);
    keep_values(row, 1, j, update.z, count);
    keep_values(row, 2, j, update.n, count);
  });
}

// ---- Backward. With d the gradient of what it stands before, s of the sums within the gates:
//   dk = dh'·(n − h),  dn = dh'·k,  dh = dh' − dn,  da = Σ dk·∂k/∂a
//   sz = slope·dk·z(1 − z),  sn = dn·(1 − n²)
//   reset after: sr = sn·q·r(1 − r), dq = sn·r
//   reset before: with d(rh) = W_nᵀ sn, sr = d(rh)·h·r(1 − r), dh += d(rh)·r

template <class T>
struct BackStep {
  int64_t hidden;
  RowMix<T> mix;
  const T* kept;   // r, z, n, q: read to their last value, no further
  const T* state;  // h, as long as whole vectors
  T* grad;         // dh', then what of dh does not pass through products; as long as whole vectors
  T* sums;         // sn, sr, sz and, with the reset after, dq; each [hidden]
};

template <class T>
inline Vec<T> kept_gate(const BackStep<T>& row, int64_t gate, int64_t j, int64_t count) {
  return load_as_compute(row.kept + gate * row.hidden + j, count);
}

template <class T>
inline void put_sum(const BackStep<T>& row, int64_t gate, int64_t j, Vec<T> values, int64_t count) {
  store_as(row.sums + gate * row.hidden + j, values, count);
}

// All of it with the reset after; all but sr and d(rh)'s part of dh with the reset before. Returns da.
template <bool before, class T>
T step_back(const BackStep<T>& row) {
  const Vec<T> one = broadcast(T{1});
  Vec<T> grad_attention = {};
  for_vectors<T>(row.hidden, [&](int64_t j, int64_t count) {
    const Vec<T> z = kept_gate(row, 1, j, count), n = kept_gate(row, 2, j, count);
    const Vec<T> grad = load_as_compute(row.grad + j, count);
    const Vec<T> dk = grad * (n - load_as_compute(row.state + j, count));
    const Vec<T> dn = grad * (row.mix.base + row.mix.slope * z);
    store(row.grad + j, grad - dn);
    grad_attention += dk * (row.mix.base_attention + row.mix.slope_attention * z);
    const Vec<T> sn = dn * (one - n * n);
    put_sum(row, 0, j, sn, count);
    put_sum<T>(row, 2, j, row.mix.slope * dk * (z * (one - z)), count);
    if constexpr (!before) {
      const Vec<T> r = kept_gate(row, 0, j, count), q = kept_gate(row, 3, j, count);
      const Vec<T> dq = sn * r;
      put_sum<T>(row, 1, j, dq * q * (one - r), count);
      put_sum(row, 3, j, dq, count);
    }
  });
  return reduce_add<T>(grad_attention);
}

// What is left with the reset before. `reset_grad` is d(rh), `reset_state` becomes r·h.
template <class T>
void reset_back(const BackStep<T>& row, const T* reset_grad, T* reset_state) {
  const Vec<T> one = broadcast(T{1});
  for_vectors<T>(row.hidden, [&](int64_t j, int64_t count) {
    const Vec<T> r = kept_gate(row, 0, j, count);
    const Vec<T> rh = r * load(row.state + j), through = load(reset_grad + j);
    put_sum<T>(row, 1, j, through * rh * (one - r), count);
    store(row.grad + j, load(row.grad + j) + through * r);
    store(reset_state + j, rh);
  });
}

}  // namespace
}  // namespace recops::recurrent::RECOPS_ISA
