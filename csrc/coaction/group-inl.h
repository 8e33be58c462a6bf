// A group of candidates with its scratch memory, shared by both passes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "coaction/kernel.h"
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

 protected:
  Vec<T>* sums(int64_t level) { return of_level(level, memory_.sums); }
  Vec<T>* grad_sums(int64_t level) { return of_level(level, memory_.grad_sums); }
  Vec<T>* of_level(int64_t level, Vec<T>* base) { return base + Scratch<T>::before(net_, level) * net_.orders; }
  void clear(Vec<T>* base, int64_t from, int64_t to) {
    std::fill(of_level(from, base), of_level(to + 1, base), Vec<T>{});
  }
  // Whether the sum over positions of a level (at most inner_) is needed.
  bool summed(int64_t level) const { return level == inner_ || emitted(net_, level); }
  Vec<T>* values(int64_t level, int64_t positions) {
    return memory_.values + Scratch<T>::before(net_, level) * net_.orders * positions;
  }

  // Calls f(offset of a parameter set, first stream, number of streams) for streams with the same weights.
  template <class F>
  void for_sets(int64_t positions, const F& f) const {
    if (!net_.order_independent) return f(int64_t{0}, int64_t{0}, net_.orders * positions);
    for (int64_t c = 0; c < net_.orders; ++c) f(c * set_size(net_), c * positions, positions);
  }

  // Calls f(value of the output row, level, feature, order).
  template <class F>
  void for_emitted(const F& f) {
    Vec<T>* value = memory_.row;
    for (int64_t c = 0; c < net_.orders; ++c)
      for (int64_t level = 1; level <= net_.layers; ++level)
        if (emitted(net_, level))
          for (int64_t j = 0; j < net_.dims[level]; ++j) f(*value++, level, j, c);
  }

  // Offset of a layer's weights within a set; the biases follow them.
  int64_t weights_at(int64_t layer) const {
    int64_t at = 0;
    for (int64_t l = 1; l < layer; ++l) at += layer_size(net_, l);
    return at;
  }
  int64_t bias_at(int64_t layer) const { return weights_at(layer) + net_.dims[layer - 1] * net_.dims[layer]; }

  // Writes the row of each candidate from its first lane.
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
