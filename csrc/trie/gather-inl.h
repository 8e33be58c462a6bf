// Gathering logits by token, and finding the logits of a row above a cut.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"
#include "trie/log_sum_exp-inl.h"

namespace recops::trie::RECOPS_ISA {
namespace {

// Whether all tokens are from 0 to vocab − 1. Most nodes have few children. A partial vector at the end is therefore
// covered by an overlapping load; single tokens are checked only if there are fewer than one vector.
template <class Token>
bool are_tokens(const Token* tokens, int64_t count, int64_t vocab) {
  using Unsigned = std::make_unsigned_t<Token>;
  if (static_cast<uint64_t>(vocab) > std::numeric_limits<Unsigned>::max()) return true;
  const auto limit = static_cast<Unsigned>(vocab);
  const auto* values = reinterpret_cast<const Unsigned*>(tokens);
  if (count < kLanes<Unsigned>)
    return std::all_of(values, values + count, [&](Unsigned token) { return token < limit; });
  auto beyond = load(values + count - kLanes<Unsigned>) >= limit;
  for (int64_t i = 0; i + kLanes<Unsigned> < count; i += kLanes<Unsigned>) beyond |= load(values + i) >= limit;
  return !any<Unsigned>(beyond);
}

// row[tokens[i]] for kLanes tokens, assembled in a register. Storing 16-bit values and loading them as a vector would
// stall on store forwarding.
template <class S, class Token, int... i>
inline Vec<Compute<S>> gather_lanes(const S* row, const Token* tokens, std::integer_sequence<int, i...>) {
  const typename VectorOf<uint16_t>::half bits = {row[tokens[i]].bits...};
  return widen(S{}, __builtin_convertvector(bits, Vec<uint32_t>));
}

// values[i] = row[tokens[i]].
template <class S, class Token>
void gather(const S* row, const Token* tokens, int64_t count, Compute<S>* values) {
  using T = Compute<S>;
  if constexpr (std::is_same_v<S, T>) {
#pragma GCC unroll 8
    for (int64_t i = 0; i < count; ++i) values[i] = row[tokens[i]];
  } else {
    int64_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>)
      store(values + i, gather_lanes(row, tokens + i, std::make_integer_sequence<int, kLanes<T>>{}));
    S lanes[kLanes<T>] = {};
    for (int64_t j = 0; i + j < count; ++j) lanes[j] = row[tokens[i + j]];
    store_as(values + i, load_as_compute(lanes), count - i);
  }
}

// Calls f(i, values[i]) in order for each value above `cut`, until f returns false. f may raise the cut; it may still
// be called for some values below the new cut.
template <class S, class F>
void for_each_above(const S* values, int64_t count, const Compute<S>& cut, const F& f) {
  using T = Compute<S>;
  constexpr int kVectors = 4;
  for (int64_t begin = 0; begin < count; begin += kVectors * kLanes<T>) {
    Vec<T> block[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const int64_t at = begin + j * kLanes<T>;
      block[j] = at < count ? load_or_minus_infinity(values + at, count - at) : broadcast(-kInfinity<T>);
    }
    const Vec<T> max = larger<T>(larger<T>(block[0], block[1]), larger<T>(block[2], block[3]));
    if (mask_bits<T>(max > broadcast(cut)) == 0) continue;
    for (int j = 0; j < kVectors; ++j)
      for (uint32_t bits = mask_bits<T>(block[j] > broadcast(cut)); bits != 0; bits &= bits - 1) {
        const int lane = __builtin_ctz(bits);
        if (!f(begin + j * kLanes<T> + lane, block[j][lane])) return;
      }
  }
}

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
