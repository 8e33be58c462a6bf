// Overlap between the codewords of a codebook, on raw pointers: results, layouts and order of operations.
//
// Matrices are dense and row-major, and all values have one compute type, float or double. Outputs never overlap
// inputs. Kernels do not allocate, throw or start threads.
//
// Work is divided by panels. A panel holds `width` codewords, the width of a register tile, one codeword per lane:
//
//             codeword 0     codeword 1     …  codeword width − 1
//   row 0     c₀[0]          c₁[0]          …  0     (zeros after the last codeword).
//   …
//   last row  c₀[dim − 1]    c₁[dim − 1]    …  0.
//
// The thread that owns a panel computes the results of its codewords, and sums over all codewords in ascending order.
// Results therefore do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace recops::codebook_overlap {

// Overlap κ of two codewords at distance δ. Each is the centre of a Gaussian with standard deviation sigma per
// dimension.
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
  int64_t (*panel_bytes)(const Codebook&);  // bytes of scratch per panel

  // Returns the first of `count` values that is not finite, or −1.
  int64_t (*find_not_finite)(const void* values, bool wide, int64_t count);

  // row_sums[i] = Σ_j usage[j] · κ_ij for the codewords of panels [begin, end). κ_ii is exactly 1, because squared
  // distances are sums of squared differences.
  void (*row_sums)(const Codebook&, Overlap, double sigma, int64_t begin, int64_t end, void* scratch, void* row_sums);

  // Returns Σ_i usage[i] · row_sums[i], summed in double.
  double (*overlap)(const Codebook&, const void* row_sums);

  // Gradients of g · overlap + Σ_i h[i] · row_sums[i] for the codewords of panels [begin, end). With a = g · usage + h:
  //   grad_usage[i] = Σ_j (a[j] + g · usage[j]) κ_ij
  //   grad_codewords[i] = Σ_j (a[i] usage[j] + a[j] usage[i]) · ∂κ_ij/∂c_i, where equal codewords contribute zero.
  // g is one value, h is [size].
  void (*backward)(const Codebook&, Overlap, double sigma, const void* g, const void* h, int64_t begin, int64_t end,
                   void* scratch, void* grad_codewords, void* grad_usage);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::codebook_overlap
