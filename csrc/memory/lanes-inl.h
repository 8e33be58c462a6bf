// Users in lanes: a value of a block is a row of kUsers numbers, one per user. Every user passes through the same
// instructions, so results do not depend on the other users of the block. Only gradients of weights are summed across
// lanes.
#pragma once

#include "common/arena.h"
#include "memory/kernel.h"
#include "simd/exp2-inl.h"
#include "simd/lanes-inl.h"
#include "simd/logarithm-inl.h"
#include "simd/products-inl.h"
#include "simd/root-inl.h"
#include "simd/sigmoid-inl.h"
#include "simd/stored-inl.h"
#include "simd/tanh-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

using namespace ::recops::RECOPS_ISA;

// Two vectors, so that each broadcast weight is used twice.
template <class T>
constexpr int64_t kUsers = 2 * kLanes<T>;

// Calls f(i) for every vector of `values` rows.
template <class T, class F>
void for_vectors(int64_t values, const F& f) {
  for (int64_t i = 0; i < values * kUsers<T>; i += kLanes<T>) f(i);
}

template <class T>
Vec<T> exponential(Vec<T> x) {
  return add_exp2(Vec<T>{}, x * static_cast<T>(kLog2E));
}

// log(1 + e^x)
template <class T>
Vec<T> softplus(Vec<T> x) {
  const Vec<T> zero{}, size = x < zero ? -x : x;
  return (x > zero ? x : zero) + logarithm(broadcast(T{1}) + exponential<T>(-size));
}

template <class T>
Vec<T> clipped(Vec<T> x) {
  return at_most<T>(at_least<T>(x, T{-20}), T{20});
}

// Returns the gradient, or 0 if x was clipped.
template <class T>
Vec<T> unclipped(Vec<T> grad, Vec<T> x) {
  return (x < T{-20}) | (x > T{20}) ? Vec<T>{} : grad;
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
