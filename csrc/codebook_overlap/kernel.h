// How much the codewords of a codebook overlap, on raw pointers: what is computed, on which layout, in which order.
//
// Values are float or double ("the compute type"), dense and row-major; outputs never overlap inputs. No kernel
// allocates, throws or starts a thread. A *panel* is as many codewords as a register tile is wide; whoever owns a panel
// writes the results of its codewords, and sums over all codewords in their order, so that no bit depends on threads.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace recops::codebook_overlap {

// κ of two codewords at distance δ, each the centre of a Gaussian of width sigma in every dimension.
enum class Overlap {
  bhattacharyya,  // exp(−δ²/8σ²)
  product,        // exp(−δ²/4σ²)
  minimum,        // erfc(δ/(2√2 σ))
};

struct Codebook {
  const void* codewords;  // [size, dim]
  const void* usage;      // [size]
  bool wide;              // double, else float
  int64_t size;
  int64_t dim;
};

struct Kernels {
  int64_t (*num_panels)(const Codebook&);
  int64_t (*panel_bytes)(const Codebook&);  // of scratch, for each panel

  // The first of `count` values that is not finite, or −1.
  int64_t (*find_not_finite)(const void* values, bool wide, int64_t count);

  // row_sums[i] = Σ_j usage[j] · κ_ij for the codewords of panels begin up to end. κ_ii is exactly 1: squared distances
  // are sums of squared differences.
  void (*row_sums)(const Codebook&, Overlap, double sigma, int64_t begin, int64_t end, void* scratch, void* row_sums);

  // Σ_i usage[i] · row_sums[i], summed in double.
  double (*overlap)(const Codebook&, const void* row_sums);

  // The gradients of g · overlap + Σ_i h[i] · row_sums[i], for the codewords of panels begin up to end. With
  // a = g · usage + h:
  //   grad_usage[i] = Σ_j (a[j] + g · usage[j]) κ_ij
  //   grad_codewords[i] = Σ_j (a[i] usage[j] + a[j] usage[i]) · ∂κ_ij/∂c_i, zero where two codewords coincide.
  // g is one value, h is [size].
  void (*backward)(const Codebook&, Overlap, double sigma, const void* g, const void* h, int64_t begin, int64_t end,
                   void* scratch, void* grad_codewords, void* grad_usage);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::codebook_overlap
