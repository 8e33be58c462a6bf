// Dice on raw pointers: results, layouts and order of operations.
//
// x and tensors of its shape are dense, row-major and stored as `dtype`. All others have one value per column in the
// compute type, float or double. Outputs never overlap inputs. Kernels do not allocate, throw or start threads.
//
// Columns are independent, and the thread that owns a column adds its rows in order. Results therefore do not depend on
// the number of threads, provided that threads get multiples of kColumns columns.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::dice {

// A multiple of the cache line for every dtype, and of the strip width for every instruction set.
constexpr int64_t kColumns = 64;

struct Problem {
  Dtype dtype;
  bool of_batch;  // mean and var are statistics of x over its rows (biased variance; zero without rows)
  int64_t rows, columns;
  double eps;
  const void* x;      // [rows, columns]
  const void* alpha;  // [columns]
};

struct Kernels {
  // For columns [begin, end), with r = 1/√(var + eps), s = r (x − mean) and p = σ(s):
  //   out = x (alpha + (1 − alpha) p)
  // If `of_batch`, the kernel first computes mean and var and writes them.
  void (*forward)(const Problem&, int64_t begin, int64_t end, void* mean, void* var, void* out);

  // Gradients of Σ grad · out. With g = grad · x · (1 − alpha) p (1 − p), and ⟨⟩ the mean over rows:
  //   grad_alpha = Σ grad · x · (1 − p);
  //   grad_x = grad (alpha + (1 − alpha) p) + r g                          with given mean and var;
  //   grad_x = grad (alpha + (1 − alpha) p) + r (g − ⟨g⟩ − s ⟨g s⟩)        with the batch's mean and var
  void (*backward)(const Problem&, int64_t begin, int64_t end, const void* mean, const void* var, const void* grad,
                   void* grad_x, void* grad_alpha);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::dice
