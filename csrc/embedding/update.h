// Update rules of table rows, for CPU and CUDA kernels.
#pragma once

namespace recops::embedding {

// The update of a table row w and its state s by the row's gradient g, which is first increased by weight_decay · w:
//
//   sgd              w -= lr · g
//   adagrad          s += g²,        w -= lr · g / (√s + eps)        s per value
//   rowwise_adagrad  s += mean(g²),  w -= lr / (√s + eps) · g        s per row
enum class Optimizer { sgd, adagrad, rowwise_adagrad };

struct UpdateRule {
  Optimizer optimizer;
  double lr, eps, weight_decay;
};

}  // namespace recops::embedding
