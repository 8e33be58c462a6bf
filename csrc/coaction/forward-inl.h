// Forward pass of a group of candidates.
#pragma once

#include <cstdint>

#include "coaction/kernel.h"
#include "coaction/network-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

template <class T>
class ForwardPass : Network<T> {
  using Base = Network<T>;
  using Base::add_strips_to_sums;
  using Base::clear;
  using Base::for_emitted;
  using Base::inner_;
  using Base::lanes_;
  using Base::memory_;
  using Base::net_;
  using Base::run_linear;
  using Base::run_positions;
  using Base::scale_;
  using Base::store_lanes;
  using Base::sums;

 public:
  using Base::Base;

  void run(Table out) {
    if (lanes_.steps == 0) clear(memory_.sums, 0, inner_);
    for (int64_t step = 0; step < lanes_.steps; step += memory_.block) run_positions(step, nullptr);
    add_strips_to_sums();
    for (int64_t layer = inner_ + 1; layer <= net_.layers; ++layer) run_linear(layer);
    for_emitted(
        [&](Vec<T>& value, int64_t level, int64_t j, int64_t c) { value = sums(level)[j * net_.orders + c] * scale_; });
    store_lanes(memory_.row, output_width(net_), out);
  }
};

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
