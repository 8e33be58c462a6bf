// Backward pass of a group of candidates: forward again, then back through the layers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "coaction/kernel.h"
#include "coaction/lanes-inl.h"
#include "coaction/layers-inl.h"
#include "coaction/network-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

template <class T>
class BackwardPass : Network<T> {
  using Base = Network<T>;
  using Base::add_strips_to_sums;
  using Base::bias_at;
  using Base::clear;
  using Base::drop_absent;
  using Base::for_emitted;
  using Base::for_sets;
  using Base::full_;
  using Base::grad_sums;
  using Base::if_present;
  using Base::inner_;
  using Base::lanes_;
  using Base::length_;
  using Base::memory_;
  using Base::net_;
  using Base::run_linear;
  using Base::run_positions;
  using Base::scale_;
  using Base::store_lanes;
  using Base::summed;
  using Base::sums;
  using Base::values;
  using Base::weights_at;

 public:
  using Base::Base;

  // Destination of each lane's feed gradient, and whether the lane writes there first.
  struct Targets {
    T* rows[kLanes<T>];
    bool first[kLanes<T>];
  };

  void run(const Gradients& to, const Targets& targets) {
    start_gradients(to.out);
    if (lanes_.steps == 0) {
      clear(memory_.sums, 0, inner_);
      std::fill_n(memory_.grad_params, params_width(net_), Vec<T>{});
    }
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) {
      const int64_t positions = run_positions(
          step, [&](auto& tile, int64_t feature, int64_t stream, int64_t positions, const auto& derivative) {
            apply_derivative(tile, grad_sums(inner_) + feature * net_.orders, stream, positions, derivative);
          });
      grad_positions(positions, step > 0);
      for (int64_t p = 0; p < positions; ++p) store_feed(step + p, memory_.grad + p, positions, targets);
    }
    add_strips<T>(memory_.grad_params, params_width(net_), lanes_.strips);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) {
      sum_parameter_gradient(layer, sums(layer - 1), grad_sums(layer), 1, length_, false);
      if (layer < net_.layers) run_linear(layer);
    }
    store_lanes(memory_.grad_params, params_width(net_), to.params);
  }

 private:
  // Multiplies each value of a tile by the derivative of its activation and by the gradient of its sum. `tile` starts
  // at stream `stream`; `sums` are gradients of the sums [features][orders].
  template <int R, int S, class F>
  void apply_derivative(Vec<T> (&tile)[R][S], const Vec<T>* sums, int64_t stream, int64_t positions,
                        const F& derivative) {
    int64_t c = stream / positions, p = stream % positions;
    if (p + S <= full_) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Vec<T> sum = sums[r * net_.orders + c];
#pragma GCC unroll 6
        for (int s = 0; s < S; ++s) tile[r][s] = sum * memory_.times[p + s] * derivative(tile[r][s]);
      }
      return;
    }
#pragma GCC unroll 6
    for (int s = 0; s < S; ++s) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
        tile[r][s] = if_present(sums[r * net_.orders + c] * memory_.times[p] * derivative(tile[r][s]), p);
      if (++p == positions) p = 0, ++c;
    }
  }

  // Computes the gradients of all sums that are output or lead to an output.
  void start_gradients(const Rows& out) {
    const int64_t orders = net_.orders;
    for (int64_t level = inner_; level < net_.layers; ++level)
      if (!emitted(net_, level)) clear(memory_.grad_sums, level, level);
    load_rows<T>(out, output_width(net_), lanes_.candidate, memory_.zeros,
                 [&](int64_t i, Vec<T> column) { memory_.row[i] = column; });
    for_emitted(
        [&](Vec<T>& value, int64_t level, int64_t j, int64_t c) { grad_sums(level)[j * orders + c] = value * scale_; });
    for (int64_t layer = net_.layers; layer > inner_; --layer) {
      input_gradient(layer, grad_sums(layer), 1, memory_.below);
      for (int64_t i = 0; i < net_.dims[layer - 1] * orders; ++i) grad_sums(layer - 1)[i] += memory_.below[i];
    }
  }

  // Gradient of a layer's inputs from the gradient of its outputs.
  void input_gradient(int64_t layer, const Vec<T>* from, int64_t positions, Vec<T>* to) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer];
    for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
      multiply<T>(from + first, outputs, net_.orders * positions, count,
                  {memory_.params + set + weights_at(layer), 1, outputs}, nullptr, inputs,
                  store_to<T>(to + first, net_.orders * positions));
    });
  }

  void sum_parameter_gradient(int64_t layer, const Vec<T>* in, const Vec<T>* from, int64_t positions, Vec<T> times,
                              bool add) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer], streams = net_.orders * positions;
    for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
      sum_outer<T>(in + first, inputs, from + first, outputs, streams, count, add,
                   memory_.grad_params + set + weights_at(layer));
      if (net_.bias)
        for (int64_t j = 0; j < outputs; ++j) {
          Vec<T> sum{};
          for (int64_t s = first; s < first + count; ++s) sum += from[j * streams + s];
          Vec<T>& bias = memory_.grad_params[set + bias_at(layer) + j];
          bias = add ? bias + sum * times : sum * times;
        }
    });
  }

  // Adds the positions in `values` to grad_params. On return, `grad` is the gradient of the feed,
  // [features][positions].
  void grad_positions(int64_t positions, bool add) {
    for (int64_t layer = inner_; layer > 0; --layer) {
      if (layer < inner_)
        with_activation<T>(net_.activation, [&](const auto&, const auto& derivative) {
          const Vec<T>* h = values(layer, positions);
          add_sums_gradient(layer, positions, [&](Vec<T> grad) { return grad * derivative(*h++); });
        });
      sum_parameter_gradient(layer, values(layer - 1, positions), memory_.grad, positions, broadcast(T{1}), add);
      if (layer > 1)
        input_gradient(layer, memory_.grad, positions, memory_.below);
      else
        feed_gradient(positions, memory_.below);
      std::swap(memory_.grad, memory_.below);
    }
    if (inner_ == 0) grad_of_summed_feed(positions);
  }

  // Gradient of the feed if no layer has an activation.
  void grad_of_summed_feed(int64_t positions) {
    const Vec<T>*grad = grad_sums(0), *fed = values(0, positions);
    for (int64_t d = 0; d < net_.dims[0]; ++d, grad += net_.orders, fed += net_.orders * positions)
      for (int64_t p = 0; p < positions; ++p) {
        Vec<T> sum{};
        for (int64_t c = net_.orders; c > 0; --c) sum = horner_step(sum, fed[p], c) + grad[c - 1];
        memory_.grad[d * positions + p] = sum * memory_.times[p];
      }
  }

  // One step of Horner's rule for Σ_c c · p^(c−1) · g_c. Scales the sum of the terms above c so that term c can be
  // added.
  static Vec<T> horner_step(Vec<T> above, Vec<T> fed, int64_t c) {
    return above * (fed * (static_cast<T>(c + 1) / static_cast<T>(c)));
  }

  // Combines input_gradient of the first layer with the gradient of the powers, [features][positions]. All orders stay
  // in registers.
  void feed_gradient(int64_t positions, Vec<T>* to) {
    const int64_t outputs = net_.dims[1], streams = net_.orders * positions;
    const int64_t set = net_.order_independent ? set_size(net_) : 0;
    for_tiles(net_.dims[0], positions, [&](auto rows, auto count, int64_t d, int64_t p) {
      constexpr int R = rows, S = count;
      Vec<T> sum[R][S] = {};
      const Vec<T>* fed = values(0, positions) + d * streams + p;
      for (int64_t c = net_.orders; c > 0; --c) {
        if (c < net_.orders)
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r)
#pragma GCC unroll 6
            for (int s = 0; s < S; ++s) sum[r][s] = horner_step(sum[r][s], fed[r * streams + s], c);
        const Weights<T> weights{memory_.params + (c - 1) * set, 1, outputs};
        add_products<R, S, T>(memory_.grad + (c - 1) * positions + p, outputs, streams, weights.from(d), sum);
      }
      store_to<T>(to, positions)(d, p, sum);
    });
  }

  // Adds the gradient of the sums, if any, to the gradient from the next layer, then applies f.
  template <class F>
  void add_sums_gradient(int64_t level, int64_t positions, const F& f) {
    const bool of_sums = summed(level);
    const Vec<T>* of_sum = grad_sums(level);
    Vec<T>* to = memory_.grad;
    for (int64_t i = 0; i < net_.dims[level] * net_.orders; ++i)
      for (int64_t p = 0; p < positions; ++p, ++to) *to = f(of_sums ? *to + of_sum[i] * memory_.times[p] : *to);
    if (full_ < positions) drop_absent(memory_.grad, net_.dims[level] * net_.orders, positions);
  }

  void store_feed(int64_t at, const Vec<T>* columns, int64_t positions, const Targets& targets) {
    const int64_t width = net_.dims[0];
    const auto put = [&](T* row, bool first, int64_t d, Vec<T> values, int64_t count) {
      store_as(row + d, first ? values : values + load_as_compute(row + d, count), count);
    };
    if (lanes_.shared) {
      Vec<T> sum{};
      return store_columns<T>(columns, positions, width, [&](int lane, int64_t d, Vec<T> values, int64_t count) {
        if (lane >= lanes_.used) return;
        sum = lane == 0 ? values : sum + values;
        if (lane + 1 == lanes_.used) put(targets.rows[0] + at * width, targets.first[0], d, sum, count);
      });
    }
    T* rows[kLanes<T>];
    for (int lane = 0; lane < kLanes<T>; ++lane)
      rows[lane] = at < lanes_.count[lane] ? targets.rows[lane] + (lanes_.first[lane] + at) * width : nullptr;
    store_columns<T>(columns, positions, width, [&](int lane, int64_t d, Vec<T> values, int64_t count) {
      if (rows[lane]) put(rows[lane], targets.first[lane], d, values, count);
    });
  }
};

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
