// A group of candidates, from their rows to their sums and back.
#pragma once

#include <algorithm>

#include "coaction/lanes-inl.h"
#include "coaction/scratch-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

template <class T>
class Group {
 public:
  Group(const Net& net, const Batch& batch, const Lanes<T>& lanes, void* scratch)
      : memory_(net, scratch), net_(net), batch_(batch), lanes_(lanes), inner_(inner_layers(net)) {
    std::fill_n(memory_.zeros, (net.dims[0] + kLanes<T> - 1) / kLanes<T>, Vec<T>{});
    load_rows<T>(batch.params, params_width(net), lanes.candidate, memory_.zeros,
                 [&](int64_t i, Vec<T> column) { memory_.params[i] = column; });
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      count_[lane] = static_cast<T>(lanes.count[lane]);
      length_[lane] = static_cast<T>(lanes.events[lane]);
      scale_[lane] = net.mean ? 1 / std::max(length_[lane], T{1}) : T{1};
    }
  }

  void forward(Table out) {
    if (lanes_.steps == 0) clear(memory_.sums, 0, inner_);
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) run_positions<false>(step);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) run_linear(layer);
    for_emitted(
        [&](Vec<T>& value, int64_t level, int64_t j, int64_t c) { value = sums(level)[j * net_.orders + c] * scale_; });
    store_lanes(memory_.row, output_width(net_), out);
  }

  // Where the gradients of a lane's user's rows go, and whether they are the first there.
  struct Targets {
    T* rows[kLanes<T>];
    bool first[kLanes<T>];
  };

  void backward(const Gradients& to, const Targets& targets) {
    start_gradients(to.out);
    if (lanes_.steps == 0) {
      clear(memory_.sums, 0, inner_);
      std::fill_n(memory_.grad_params, params_width(net_), Vec<T>{});
    }
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) {
      const int64_t positions = run_positions<true>(step);
      grad_positions(positions, step > 0);
      for (int64_t p = 0; p < positions; ++p) store_feed(step + p, memory_.grad + p, positions, targets);
    }
    add_strips<T>(memory_.grad_params, params_width(net_), lanes_.strips);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) {
      sum_layer_gradient(layer, sums(layer - 1), grad_sums(layer), 1, length_, false);
      if (layer < net_.layers) run_linear(layer);
    }
    store_lanes(memory_.grad_params, params_width(net_), to.params);
  }

 private:
  Vec<T>* sums(int64_t level) { return of_level(level, memory_.sums); }
  Vec<T>* grad_sums(int64_t level) { return of_level(level, memory_.grad_sums); }
  Vec<T>* of_level(int64_t level, Vec<T>* base) { return base + Scratch<T>::before(net_, level) * net_.orders; }
  void clear(Vec<T>* base, int64_t from, int64_t to) {
    std::fill(of_level(from, base), of_level(to + 1, base), Vec<T>{});
  }
  // Of the levels up to inner_: whether the sum over positions is wanted.
  bool summed(int64_t level) const { return level == inner_ || emitted(net_, level); }
  Vec<T>* values(int64_t level, int64_t positions) {
    return memory_.values + Scratch<T>::before(net_, level) * net_.orders * positions;
  }

  // f(offset of a set of parameters, first stream, streams) for what goes through the same weights.
  template <class F>
  void for_sets(int64_t positions, const F& f) const {
    if (!net_.order_independent) return f(int64_t{0}, int64_t{0}, net_.orders * positions);
    for (int64_t c = 0; c < net_.orders; ++c) f(c * set_size(net_), c * positions, positions);
  }

  // f(value of the row, level, feature, order)
  template <class F>
  void for_emitted(const F& f) {
    Vec<T>* value = memory_.row;
    for (int64_t c = 0; c < net_.orders; ++c)
      for (int64_t level = 1; level <= net_.layers; ++level)
        if (emitted(net_, level))
          for (int64_t j = 0; j < net_.dims[level]; ++j) f(*value++, level, j, c);
  }

  // Of the layer's weights in a set; its biases follow.
  int64_t weights_at(int64_t layer) const {
    int64_t at = 0;
    for (int64_t l = 1; l < layer; ++l) at += layer_size(net_, l);
    return at;
  }
  int64_t bias_at(int64_t layer) const { return weights_at(layer) + net_.dims[layer - 1] * net_.dims[layer]; }

  // Fills the sums, to which later steps add, and `values`, for as many positions from this step on as a block takes
  // and there are. Of the last inner level nothing is kept; `backward`, the gradients of what goes into its activation
  // are left in `grad`.
  template <bool backward>
  int64_t run_positions(int64_t step) {
    const int64_t positions = std::min(memory_.block, lanes_.steps - step), streams = net_.orders * positions;
    load_feed(step, positions);
    if (inner_ == 0) sum_feed(positions, step > 0);
    for (int64_t layer = 1; layer <= inner_; ++layer) {
      const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer];
      const bool last = layer == inner_;
      Vec<T>* sum = summed(layer) ? sums(layer) : nullptr;
      if (sum && step == 0) std::fill_n(sum, outputs * net_.orders, Vec<T>{});
      with_activation<T>(net_.activation, [&](const auto& function, const auto& derivative) {
        for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
          Vec<T>* out = (last ? memory_.grad : values(layer, positions)) + first;
          multiply<T>(values(layer - 1, positions) + first, inputs, streams, count,
                      {memory_.params + set + weights_at(layer), outputs, 1},
                      net_.bias ? memory_.params + set + bias_at(layer) : nullptr, outputs,
                      [&]<int R, int S>(int64_t o, int64_t stream, Vec<T>(&tile)[R][S]) {
#pragma GCC unroll 4
                        for (int r = 0; r < R; ++r)
#pragma GCC unroll 6
                          for (int s = 0; s < S; ++s) tile[r][s] = function(tile[r][s]);
                        if (!last) store_to<T>(out, streams)(o, stream, tile);
                        if (sum) add_tile(tile, sum + o * net_.orders, first + stream, positions);
                        if constexpr (backward)
                          if (last) {
                            take_back(tile, grad_sums(layer) + o * net_.orders, first + stream, positions, derivative);
                            store_to<T>(out, streams)(o, stream, tile);
                          }
                      });
        });
      });
    }
    return positions;
  }

  void load_feed(int64_t step, int64_t positions) {
    const int64_t width = net_.dims[0], streams = net_.orders * positions;
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t at = step + p;
      const auto raise = [&](int64_t d, Vec<T> fed) {
        Vec<T> power = fed, *to = values(0, positions) + d * streams + p;
        *to = power;
        for (int64_t c = 1; c < net_.orders; ++c) *(to += positions) = power *= fed;
      };
      if (lanes_.shared) {
        broadcast_row<T>(batch_.feed, width, lanes_.user[0] * batch_.time + at, raise);
      } else {
        int64_t rows[kLanes<T>];
        for (int lane = 0; lane < kLanes<T>; ++lane)
          rows[lane] = at < lanes_.count[lane] ? lanes_.user[lane] * batch_.time + lanes_.first[lane] + at : -1;
        load_rows<T>(batch_.feed, width, rows, memory_.zeros, raise);
      }
      memory_.times[p] = batch_.times                             ? times_at(at)
                         : count_ > broadcast(static_cast<T>(at)) ? broadcast(T{1})
                                                                  : Vec<T>{};
    }
  }

  Vec<T> times_at(int64_t at) const {
    T times[kLanes<T>];
    for (int lane = 0; lane < kLanes<T>; ++lane)
      times[lane] = at < lanes_.count[lane]
                        ? static_cast<T>(batch_.times[lanes_.user[lane] * batch_.time + lanes_.first[lane] + at])
                        : T{0};
    return load_as_compute(times);
  }

  // To the sums [features][orders] what a tile of streams from `stream` on yielded, where there is a position.
  template <int R, int S>
  void add_tile(const Vec<T> (&tile)[R][S], Vec<T>* sums, int64_t stream, int64_t positions) {
    int64_t c = stream / positions, p = stream % positions;
    if (p + S <= positions) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        Vec<T> sum = sums[r * net_.orders + c];
#pragma GCC unroll 6
        for (int s = 0; s < S; ++s) sum += tile[r][s] * memory_.times[p + s];
        sums[r * net_.orders + c] = sum;
      }
      return;
    }
#pragma GCC unroll 6
    for (int s = 0; s < S; ++s) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[r * net_.orders + c] += tile[r][s] * memory_.times[p];
      if (++p == positions) p = 0, ++c;
    }
  }

  // Of a tile of streams from `stream` on, by what an activation yielded, to the gradients of what went into it, those
  // of the sums [features][orders] being `sums`.
  template <int R, int S, class F>
  void take_back(Vec<T> (&tile)[R][S], const Vec<T>* sums, int64_t stream, int64_t positions, const F& derivative) {
    int64_t c = stream / positions, p = stream % positions;
    if (p + S <= positions) {
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
      for (int r = 0; r < R; ++r) tile[r][s] = sums[r * net_.orders + c] * memory_.times[p] * derivative(tile[r][s]);
      if (++p == positions) p = 0, ++c;
    }
  }

  // Where no layer has an activation.
  void sum_feed(int64_t positions, bool add) {
    const Vec<T>* value = values(0, positions);
    for (int64_t i = 0; i < net_.dims[0] * net_.orders; ++i) {
      Vec<T> sum = add ? sums(0)[i] : Vec<T>{};
      for (int64_t p = 0; p < positions; ++p) sum += *value++ * memory_.times[p];
      sums(0)[i] = sum;
    }
  }

  void add_strips_to_sums() {
    for (int64_t level = 0; level <= inner_; ++level)
      if (summed(level)) add_strips<T>(sums(level), net_.dims[level] * net_.orders, lanes_.strips);
  }

  // A layer behind the last activation, on sums.
  void run_linear(int64_t layer) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer], orders = net_.orders;
    for_sets(1, [&](int64_t set, int64_t first, int64_t count) {
      multiply<T>(sums(layer - 1) + first, inputs, orders, count,
                  {memory_.params + set + weights_at(layer), outputs, 1}, nullptr, outputs,
                  store_to<T>(sums(layer) + first, orders));
      if (net_.bias)
        for (int64_t j = 0; j < outputs; ++j)
          for (int64_t s = first; s < first + count; ++s)
            sums(layer)[j * orders + s] += length_ * memory_.params[set + bias_at(layer) + j];
    });
  }

  // The gradients of all sums that are emitted or lead to such.
  void start_gradients(const Rows& out) {
    const int64_t orders = net_.orders;
    for (int64_t level = inner_; level < net_.layers; ++level)
      if (!emitted(net_, level)) clear(memory_.grad_sums, level, level);
    load_rows<T>(out, output_width(net_), lanes_.candidate, memory_.zeros,
                 [&](int64_t i, Vec<T> column) { memory_.row[i] = column; });
    for_emitted(
        [&](Vec<T>& value, int64_t level, int64_t j, int64_t c) { grad_sums(level)[j * orders + c] = value * scale_; });
    for (int64_t layer = net_.layers; layer > inner_; --layer) {
      multiply_back(layer, grad_sums(layer), 1, memory_.below);
      for (int64_t i = 0; i < net_.dims[layer - 1] * orders; ++i) grad_sums(layer - 1)[i] += memory_.below[i];
    }
  }

  // From the gradients of what a layer yields to those of what it was given.
  void multiply_back(int64_t layer, const Vec<T>* from, int64_t positions, Vec<T>* to) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer];
    for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
      multiply<T>(from + first, outputs, net_.orders * positions, count,
                  {memory_.params + set + weights_at(layer), 1, outputs}, nullptr, inputs,
                  store_to<T>(to + first, net_.orders * positions));
    });
  }

  void sum_layer_gradient(int64_t layer, const Vec<T>* in, const Vec<T>* from, int64_t positions, Vec<T> times,
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

  // Of the positions in `values`: what goes into grad_params; `grad` becomes the gradient of what is fed, as
  // [features][positions].
  void grad_positions(int64_t positions, bool add) {
    for (int64_t layer = inner_; layer > 0; --layer) {
      if (layer < inner_)
        with_activation<T>(net_.activation, [&](const auto&, const auto& derivative) {
          const Vec<T>* h = values(layer, positions);
          add_sums_gradient(layer, positions, [&](Vec<T> grad) { return grad * derivative(*h++); });
        });
      sum_layer_gradient(layer, values(layer - 1, positions), memory_.grad, positions, broadcast(T{1}), add);
      if (layer > 1)
        multiply_back(layer, memory_.grad, positions, memory_.below);
      else
        multiply_back_to_feed(positions, memory_.below);
      std::swap(memory_.grad, memory_.below);
    }
    if (inner_ == 0) grad_of_summed_feed(positions);
  }

  // Where no layer has an activation.
  void grad_of_summed_feed(int64_t positions) {
    const Vec<T>*grad = grad_sums(0), *fed = values(0, positions);
    for (int64_t d = 0; d < net_.dims[0]; ++d, grad += net_.orders, fed += net_.orders * positions)
      for (int64_t p = 0; p < positions; ++p) {
        Vec<T> sum{};
        for (int64_t c = net_.orders; c > 0; --c) sum = lowered(sum, fed[p], c) + grad[c - 1];
        memory_.grad[d * positions + p] = sum * memory_.times[p];
      }
  }

  // Σ_c c · p^(c−1) · g_c by Horner's rule: from the terms above c to be added to that of c, both without the factors
  // of those below.
  static Vec<T> lowered(Vec<T> above, Vec<T> fed, int64_t c) {
    return above * (fed * (static_cast<T>(c + 1) / static_cast<T>(c)));
  }

  // The first layer's `multiply_back` and what it means for the feed, [features][positions]; all orders in registers.
  void multiply_back_to_feed(int64_t positions, Vec<T>* to) {
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
            for (int s = 0; s < S; ++s) sum[r][s] = lowered(sum[r][s], fed[r * streams + s], c);
        const Weights<T> weights{memory_.params + (c - 1) * set, 1, outputs};
        add_products<R, S, T>(memory_.grad + (c - 1) * positions + p, outputs, streams, weights.from(d), sum);
      }
      store_to<T>(to, positions)(d, p, sum);
    });
  }

  // To what comes from the layer above is added what comes from the sums, if anything does; then f of it.
  template <class F>
  void add_sums_gradient(int64_t level, int64_t positions, const F& f) {
    const bool of_sums = summed(level);
    const Vec<T>* of_sum = grad_sums(level);
    Vec<T>* to = memory_.grad;
    for (int64_t i = 0; i < net_.dims[level] * net_.orders; ++i)
      for (int64_t p = 0; p < positions; ++p, ++to) *to = f(of_sums ? *to + of_sum[i] * memory_.times[p] : *to);
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

  // Each candidate's row, from the first of its lanes.
  void store_lanes(const Vec<T>* columns, int64_t width, Table to) {
    with_stored<T>(to.dtype, [&]<class S>(S) {
      S* rows[kLanes<T>] = {};
      for (int lane = 0; lane < lanes_.used; lane += lanes_.strips)
        rows[lane] = static_cast<S*>(to.data) + lanes_.candidate[lane] * to.stride;
      store_columns<T>(columns, 1, width, [&](int lane, int64_t d, Vec<T> values, int64_t count) {
        if (rows[lane]) store_as(rows[lane] + d, values, count);
      });
    });
  }

  Scratch<T> memory_;
  const Net& net_;
  const Batch& batch_;
  const Lanes<T>& lanes_;
  const int64_t inner_;
  Vec<T> count_, length_, scale_;
};

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
