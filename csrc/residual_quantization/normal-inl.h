// Gaussian noise as a function of seed, row, draw and dimension, independent of threads and blocks.
//
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), then the
// Box–Muller transform. Logarithm, sine and cosine are short polynomials with a relative error of about 1e-7. Compilers
// vectorize the plain loops over kNoiseLanes counters.
#pragma once

#include <cstdint>
#include <cstring>

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int kNoiseLanes = 16;
constexpr int64_t kNoiseBlock = 4 * kNoiseLanes;  // values generated at once

using NoiseWords = uint32_t[4][kNoiseLanes];

// On entry `words` holds counters, on return random bits.
inline void philox(NoiseWords& words, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    for (int j = 0; j < kNoiseLanes; ++j) {
      const uint64_t a = uint64_t{0xd2511f53u} * words[0][j], b = uint64_t{0xcd9e8d57u} * words[2][j];
      words[0][j] = static_cast<uint32_t>(b >> 32) ^ words[1][j] ^ key0;
      words[1][j] = static_cast<uint32_t>(b);
      words[2][j] = static_cast<uint32_t>(a >> 32) ^ words[3][j] ^ key1;
      words[3][j] = static_cast<uint32_t>(a);
    }
  }
}

// Natural logarithm for 0 < x ≤ 1, x normal.
inline float log_of_fraction(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t shifted = bits - 0x3f3504f3u;  // sqrt(1/2): moves the mantissa to [sqrt(1/2), sqrt(2))
  const float exponent = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  bits = (shifted & 0x007fffffu) + 0x3f3504f3u;
  float z;
  std::memcpy(&z, &bits, 4);
  z -= 1;
  float p = 7.0376836292e-2f;
  p = p * z - 1.1514610310e-1f;
  p = p * z + 1.1676998740e-1f;
  p = p * z - 1.2420140846e-1f;
  p = p * z + 1.4249322787e-1f;
  p = p * z - 1.6668057665e-1f;
  p = p * z + 2.0000714765e-1f;
  p = p * z - 2.4999993993e-1f;
  p = p * z + 3.3333331174e-1f;
  return exponent * 0.693147181f + (z + z * z * (p * z - 0.5f));
}

// Two independent standard normals from 64 bits.
inline void normal_pair(uint32_t a, uint32_t b, float& first, float& second) {
  // Always above 0. The largest value rounds to 1 and gives radius 0.
  const float uniform = (static_cast<float>(a >> 8) + 0.5f) * 0x1p-24f;
  const float radius = __builtin_sqrtf(-2 * log_of_fraction(uniform));
  // Two bits select the quadrant; the other bits give the angle within it, from −π/4 to π/4.
  const float angle = (static_cast<float>(static_cast<int32_t>(b << 2) >> 8) + 0.5f) * (0x1p-24f * 1.57079633f);
  const float square = angle * angle;
  const float sine =
      angle + angle * square * (-1.6666654611e-1f + square * (8.3321608736e-3f - square * 1.9515295891e-4f));
  const float cosine =
      1 - square / 2 + square * square * (4.1666645683e-2f - square * (1.3887316255e-3f - square * 2.4433157118e-5f));
  const bool swapped = (b & 0x40000000u) != 0, negative = (b & 0x80000000u) != 0;
  const float x = swapped ? -sine : cosine, y = swapped ? cosine : sine;
  first = radius * (negative ? -x : x);
  second = radius * (negative ? -y : y);
}

// Fills `out` with standard normals for draw `draw` of row `row`. `out` has room for whole noise blocks.
inline void fill_normals(uint64_t seed, uint64_t row, uint32_t draw, int64_t count, float* out) {
  for (int64_t first = 0; first < count; first += kNoiseBlock, out += kNoiseBlock) {
    NoiseWords words;
    for (int j = 0; j < kNoiseLanes; ++j) {
      words[0][j] = static_cast<uint32_t>(first / 4 + j);
      words[1][j] = draw;
      words[2][j] = static_cast<uint32_t>(row);
      words[3][j] = static_cast<uint32_t>(row >> 32);
    }
    philox(words, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    for (int j = 0; j < kNoiseLanes; ++j) {
      normal_pair(words[0][j], words[1][j], out[j], out[kNoiseLanes + j]);
      normal_pair(words[2][j], words[3][j], out[2 * kNoiseLanes + j], out[3 * kNoiseLanes + j]);
    }
  }
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
