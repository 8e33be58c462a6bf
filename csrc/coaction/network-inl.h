// Layers of a group, shared by both passes: per position up to the last activation, and on sums after it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "coaction/group-inl.h"
#include "coaction/lanes-inl.h"
#include "coaction/layers-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

template <class T>
class Network : protected Group<T> {
 protected:
  using Base = Group<T>;
  using Base::Base;
  using Base::batch_;
  using Base::bias_at;
  using Base::count_;
  using Base::for_sets;
  using Base::inner_;
  using Base::lanes_;
  using Base::length_;
  using Base::memory_;
  using Base::net_;
  using Base::summed;
  using Base::sums;
  using Base::values;
  using Base::weights_at;

  // Computes `values` for the block of positions that starts at `step`, and adds to the sums; step 0 resets them first.
  // Returns the number of positions. The values of the last inner level are not stored: finish(tile, feature, stream,
  // positions, derivative) converts them in registers, and the result is stored in `grad`. If `finish` is null, nothing
  // is stored.
  template <class Finish>
  int64_t run_positions(int64_t step, const Finish& finish) {
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
                        if constexpr (!std::is_null_pointer_v<Finish>)
                          if (last) {
                            finish(tile, o, first + stream, positions, derivative);
                            store_to<T>(out, streams)(o, stream, tile);
                          }
                      });
        });
      });
      if (!last && full_ < positions) drop_absent(values(layer, positions), outputs * net_.orders, positions);
    }
    return positions;
  }

  // Zeroes lanes without a position in `count` rows [positions]. With parameters that are not finite, such values may
  // be NaN, and multiplying by 0 would keep the NaN.
  [[gnu::noinline]] void drop_absent(Vec<T>* values, int64_t count, int64_t positions) const {
    for (int64_t i = 0; i < count; ++i, values += positions)
      for (int64_t p = full_; p < positions; ++p) values[p] = if_present(values[p], p);
  }
  Vec<T> if_present(Vec<T> value, int64_t position) const {
    return memory_.times[position] == Vec<T>{} ? Vec<T>{} : value;
  }

  int64_t full_ = 0;  // number of leading positions of the current block that all lanes have

  void add_strips_to_sums() {
    for (int64_t level = 0; level <= inner_; ++level)
      if (summed(level)) add_strips<T>(sums(level), net_.dims[level] * net_.orders, lanes_.strips);
  }

  // Runs a layer after the last activation, on sums.
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

 private:
  void load_feed(int64_t step, int64_t positions) {
    const int64_t width = net_.dims[0], streams = net_.orders * positions;
    full_ = std::clamp<int64_t>(*std::min_element(lanes_.count, lanes_.count + lanes_.used) - step, 0, positions);
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

  // Adds a tile of streams from `stream` on to the sums [features][orders], for lanes with a position.
  template <int R, int S>
  void add_tile(const Vec<T> (&tile)[R][S], Vec<T>* sums, int64_t stream, int64_t positions) {
    int64_t c = stream / positions, p = stream % positions;
    if (p + S <= full_) {
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
      for (int r = 0; r < R; ++r) sums[r * net_.orders + c] += if_present(tile[r][s], p) * memory_.times[p];
      if (++p == positions) p = 0, ++c;
    }
  }

  // Sums of the feed, if no layer has an activation.
  void sum_feed(int64_t positions, bool add) {
    const Vec<T>* value = values(0, positions);
    for (int64_t i = 0; i < net_.dims[0] * net_.orders; ++i) {
      Vec<T> sum = add ? sums(0)[i] : Vec<T>{};
      for (int64_t p = 0; p < positions; ++p) sum += *value++ * memory_.times[p];
      sums(0)[i] = sum;
    }
  }
};

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
