// A group of candidates, from their rows to their sums and back.
#include <algorithm>

#include "coaction/lanes-inl.h"
#include "coaction/layers-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

// What a group works in, one vector a value. Levels lie one behind the other, level 0 being what is fed.
template <class T>
struct Scratch {
  int64_t block;  // positions at a time
  Vec<T>*params, *grad_params;
  Vec<T>* values;       // [levels up to inner][dims[level]][orders · positions]
  Vec<T>*grad, *below;  // of one level, and of the level below
  Vec<T>* sums;         // [levels][dims[level]][orders]
  Vec<T>* grad_sums;
  Vec<T>* row;      // [output_width]
  Vec<T>* present;  // [block]: 1 where a lane has that position, else 0
  Vec<T>* zeros;
  int64_t vectors = 0;

  Scratch(const Net& net, void* memory) : block(std::max<int64_t>(1, 6 / net.orders)) {
    Vec<T>* base = static_cast<Vec<T>*>(memory);
    const auto take = [&](int64_t count) {
      Vec<T>* taken = base ? base + vectors : nullptr;
      vectors += count;
      return taken;
    };
    const int64_t streams = net.orders * block, *widest = std::max_element(net.dims, net.dims + net.layers + 1);
    const int64_t all = before(net, net.layers + 1);
    params = take(params_width(net)), grad_params = take(params_width(net));
    values = take(before(net, inner_layers(net) + 1) * streams);
    grad = take(*widest * streams), below = take(*widest * streams);
    sums = take(all * net.orders), grad_sums = take(all * net.orders);
    row = take(output_width(net));
    present = take(block);
    zeros = take((net.dims[0] + kLanes<T> - 1) / kLanes<T>);
  }

  // Features of the levels below.
  static int64_t before(const Net& net, int64_t level) {
    int64_t count = 0;
    for (int64_t l = 0; l < level; ++l) count += net.dims[l];
    return count;
  }
};

template <class T>
class Group {
 public:
  Group(const Net& net, const Batch& batch, const Lanes<T>& lanes, void* scratch)
      : memory_(net, scratch), net_(net), batch_(batch), lanes_(lanes), inner_(inner_layers(net)) {
    std::fill_n(memory_.zeros, (net.dims[0] + kLanes<T> - 1) / kLanes<T>, Vec<T>{});
    std::fill_n(memory_.sums, Scratch<T>::before(net, net.layers + 1) * net.orders, Vec<T>{});
    load_rows<T>(
        batch.params, params_width(net), [&](int lane) { return lanes.candidate[lane]; }, memory_.zeros, memory_.params,
        1);
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      count_[lane] = static_cast<T>(lanes.count[lane]);
      length_[lane] = static_cast<T>(lanes.length[lane]);
      scale_[lane] = net.mean ? 1 / std::max(length_[lane], T{1}) : T{1};
    }
  }

  void forward(Table out) {
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) run_positions(step);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) run_linear(layer);
    for_emitted(
        [&](Vec<T>& value, int64_t level, int64_t j, int64_t c) { value = sums(level)[j * net_.orders + c] * scale_; });
    store_lanes(memory_.row, output_width(net_), out);
  }

  // keep(lane): where the gradients of its user's rows go, and whether they are the first there.
  template <class Keep>
  void backward(const Gradients& to, const Keep& keep) {
    start_gradients(to.out);
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) {
      const int64_t positions = run_positions(step);
      grad_positions(positions);
      for (int64_t p = 0; p < positions; ++p) store_feed(step + p, memory_.grad + p, positions, keep);
    }
    add_strips<T>(memory_.grad_params, params_width(net_), lanes_.strips);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) {
      add_layer_gradient(layer, sums(layer - 1), grad_sums(layer), 1, length_);
      if (layer < net_.layers) run_linear(layer);
    }
    store_lanes(memory_.grad_params, params_width(net_), to.params);
  }

 private:
  Vec<T>* sums(int64_t level) { return of_level(level, memory_.sums); }
  Vec<T>* grad_sums(int64_t level) { return of_level(level, memory_.grad_sums); }
  Vec<T>* of_level(int64_t level, Vec<T>* base) { return base + Scratch<T>::before(net_, level) * net_.orders; }
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

  // Fills `values` and adds to the sums, for as many positions from this step on as a block takes and there are.
  int64_t run_positions(int64_t step) {
    const int64_t positions = std::min(memory_.block, lanes_.steps - step), streams = net_.orders * positions;
    load_feed(step, positions);
    if (inner_ == 0)
      activate([](Vec<T> x) { return x; }, values(0, positions), net_.dims[0] * net_.orders, positions, sums(0));
    for (int64_t layer = 1; layer <= inner_; ++layer) {
      const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer];
      for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
        multiply<T>(values(layer - 1, positions) + first, inputs, streams, count,
                    {memory_.params + set + weights_at(layer), outputs, 1},
                    net_.bias ? memory_.params + set + bias_at(layer) : nullptr, values(layer, positions) + first,
                    outputs);
      });
      Vec<T>* sum = layer == inner_ || emitted(net_, layer) ? sums(layer) : nullptr;
      with_activation<T>(net_.activation, [&](const auto& function, const auto&) {
        activate(function, values(layer, positions), outputs * net_.orders, positions, sum);
      });
    }
    return positions;
  }

  void load_feed(int64_t step, int64_t positions) {
    const int64_t width = net_.dims[0], streams = net_.orders * positions;
    Vec<T>* fed = values(0, positions);
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t at = step + p;
      if (lanes_.shared)
        broadcast_row<T>(batch_.feed, width, lanes_.user[0] * batch_.time + at, fed + p, streams);
      else
        load_rows<T>(
            batch_.feed, width,
            [&](int lane) {
              return at < lanes_.count[lane] ? lanes_.user[lane] * batch_.time + lanes_.first[lane] + at : -1;
            },
            memory_.zeros, fed + p, streams);
      memory_.present[p] = count_ > broadcast(static_cast<T>(at)) ? broadcast(T{1}) : Vec<T>{};
    }
    for (int64_t d = 0; d < width; ++d, fed += streams)
      for (int64_t c = 1; c < net_.orders; ++c)
        for (int64_t p = 0; p < positions; ++p) fed[c * positions + p] = fed[(c - 1) * positions + p] * fed[p];
  }

  // Applies a function, and adds what it yields to sums unless there are none; at once, as a pass of its own would wait
  // for loads and stores alone.
  template <class F>
  void activate(const F& function, Vec<T>* value, int64_t count, int64_t positions, Vec<T>* sums) {
    for (int64_t i = 0; i < count; ++i) {
      Vec<T> sum{};
      for (int64_t p = 0; p < positions; ++p, ++value) {
        *value = function(*value);
        sum += *value * memory_.present[p];
      }
      if (sums) sums[i] += sum;
    }
  }

  void add_strips_to_sums() {
    for (int64_t level = 0; level <= inner_; ++level)
      add_strips<T>(sums(level), net_.dims[level] * net_.orders, lanes_.strips);
  }

  // A layer behind the last activation, on sums.
  void run_linear(int64_t layer) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer], orders = net_.orders;
    for_sets(1, [&](int64_t set, int64_t first, int64_t count) {
      multiply<T>(sums(layer - 1) + first, inputs, orders, count,
                  {memory_.params + set + weights_at(layer), outputs, 1}, nullptr, sums(layer) + first, outputs);
      if (net_.bias)
        for (int64_t j = 0; j < outputs; ++j)
          for (int64_t s = first; s < first + count; ++s)
            sums(layer)[j * orders + s] += length_ * memory_.params[set + bias_at(layer) + j];
    });
  }

  // The gradients of all sums that are emitted or lead to such.
  void start_gradients(const Rows& out) {
    const int64_t all = Scratch<T>::before(net_, net_.layers + 1), orders = net_.orders;
    std::fill_n(memory_.grad_sums, all * orders, Vec<T>{});
    std::fill_n(memory_.grad_params, params_width(net_), Vec<T>{});
    load_rows<T>(
        out, output_width(net_), [&](int lane) { return lanes_.candidate[lane]; }, memory_.zeros, memory_.row, 1);
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
                  {memory_.params + set + weights_at(layer), 1, outputs}, nullptr, to + first, inputs);
    });
  }

  void add_layer_gradient(int64_t layer, const Vec<T>* in, const Vec<T>* from, int64_t positions, Vec<T> times) {
    const int64_t inputs = net_.dims[layer - 1], outputs = net_.dims[layer], streams = net_.orders * positions;
    for_sets(positions, [&](int64_t set, int64_t first, int64_t count) {
      add_outer<T>(in + first, inputs, from + first, outputs, streams, count,
                   memory_.grad_params + set + weights_at(layer));
      if (net_.bias)
        for (int64_t j = 0; j < outputs; ++j) {
          Vec<T> sum{};
          for (int64_t s = first; s < first + count; ++s) sum += from[j * streams + s];
          memory_.grad_params[set + bias_at(layer) + j] += sum * times;
        }
    });
  }

  // Of the positions in `values`: adds to grad_params; `grad` becomes the gradient of what is fed.
  void grad_positions(int64_t positions) {
    const int64_t streams = net_.orders * positions;
    for (int64_t layer = inner_; layer >= 0; --layer) {
      if (layer == inner_)
        grad_from_sums<false>(layer, positions);
      else if (emitted(net_, layer))
        grad_from_sums<true>(layer, positions);
      if (layer == 0) break;
      activate_backward<T>(net_.activation, values(layer, positions), memory_.grad, net_.dims[layer] * streams);
      add_layer_gradient(layer, values(layer - 1, positions), memory_.grad, positions, broadcast(T{1}));
      multiply_back(layer, memory_.grad, positions, memory_.below);
      std::swap(memory_.grad, memory_.below);
    }
    // Σ_c c · p^(c−1) · grad_c, by Horner's rule.
    const Vec<T>* fed = values(0, positions);
    for (int64_t d = 0; d < net_.dims[0]; ++d)
      for (int64_t p = 0; p < positions; ++p) {
        Vec<T>* of = memory_.grad + d * streams + p;
        Vec<T> sum = of[(net_.orders - 1) * positions] * static_cast<T>(net_.orders);
        for (int64_t c = net_.orders - 2; c >= 0; --c)
          sum = sum * fed[d * streams + p] + of[c * positions] * static_cast<T>(c + 1);
        *of = sum;
      }
  }

  template <bool add>
  void grad_from_sums(int64_t level, int64_t positions) {
    const Vec<T>* of_sum = grad_sums(level);
    Vec<T>* to = memory_.grad;
    for (int64_t i = 0; i < net_.dims[level] * net_.orders; ++i)
      for (int64_t p = 0; p < positions; ++p, ++to)
        *to = add ? *to + of_sum[i] * memory_.present[p] : of_sum[i] * memory_.present[p];
  }

  template <class Keep>
  void store_feed(int64_t at, const Vec<T>* columns, int64_t stride_positions, const Keep& keep) {
    const int64_t width = net_.dims[0];
    Vec<T> sum{};  // of all lanes, where one row is fed to all
    store_columns<T>(columns, net_.orders * stride_positions, width, lanes_.used,
                     [&](int lane, int64_t d, Vec<T> values, int64_t count) {
                       if (at >= lanes_.count[lane]) return;
                       if (lanes_.shared) {
                         sum = lane == 0 ? values : sum + values;
                         if (lane + 1 < lanes_.used) return;
                         values = sum;
                       }
                       const auto [to, first] = keep(lanes_.shared ? 0 : lane);
                       T* place = to + (lanes_.first[lane] + at) * width + d;
                       store_as(place, first ? values : values + load_as_compute(place, count), count);
                     });
  }

  // Each candidate's row, from the first of its lanes.
  void store_lanes(const Vec<T>* columns, int64_t width, Table to) {
    with_stored<T>(to.dtype, [&]<class S>(S) {
      store_columns<T>(columns, 1, width, lanes_.used, [&](int lane, int64_t d, Vec<T> values, int64_t count) {
        if (lane % lanes_.strips == 0)
          store_as(static_cast<S*>(to.data) + lanes_.candidate[lane] * to.stride + d, values, count);
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
