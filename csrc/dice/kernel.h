// Dice on raw pointers: what is computed, on which layout, in which order.
//
// x and what has its shape are dense and row-major, stored as `dtype`; all else has a value a column, float or double
// ("the compute type"). Outputs never overlap inputs. No kernel allocates, throws or starts a thread. Columns know
// nothing of each other, and whoever owns one adds up its rows in their order: no bit depends on threads, as long as
// columns are shared out by kColumns at a time.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::dice {

// Whole cache lines of any dtype, and whole tiles at any instruction set.
constexpr int64_t kColumns = 64;

struct Problem {
  Dtype dtype;
  bool of_batch;  // mean and var are those of x over its rows, var over their number; zero without rows
  int64_t rows, columns;
  double eps;
  const void* x;      // [rows, columns]
  const void* alpha;  // [columns]
};

struct Kernels {
  // For columns begin up to end, with r = 1/√(var + eps), s = r (x − mean) and p = σ(s):
  //   out = x (alpha + (1 − alpha) p)
  // mean and var are found first, and written, where they are the batch's.
  void (*forward)(const Problem&, int64_t begin, int64_t end, void* mean, void* var, void* out);

  // The gradients of Σ grad · out. With g = grad · x · (1 − alpha) p (1 − p), and ⟨⟩ the mean over rows:
  //   grad_alpha = Σ grad · x · (1 − p)
  //   grad_x = grad (alpha + (1 − alpha) p) + r g, with the batch's mean and var r (g − ⟨g⟩ − s ⟨g s⟩)
  void (*backward)(const Problem&, int64_t begin, int64_t end, const void* mean, const void* var, const void* grad,
                   void* grad_x, void* grad_alpha);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::dice
