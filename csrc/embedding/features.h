// Features of a call on the CPU: their ids, which are checked, and their columns.
#pragma once

#include <string>
#include <vector>

#include "common/compat.h"
#include "embedding/arguments.h"
#include "embedding/gradient.h"
#include "embedding/kernel.h"

namespace recops::embedding {

// Returns the index of a tensor's entry for an error message, for example "[2, 3]".
inline std::string place_of(const Tensor& tensor, int64_t position) {
  std::string place;
  for (int64_t d = tensor.dim(); d-- > 0; position /= tensor.size(d))
    place = concat(d > 0 ? ", " : "[", position % tensor.size(d), place.empty() ? "]" : place);
  return place;
}

// The bags and table of every feature, and the feature's columns in the result.
class Features {
 public:
  struct Feature {
    int64_t table, column;
    Bags bags;
  };

  // Tables are [num_rows[i], widths[i]]; the ids of feature f are rows of table tables[f]. Features of a table with −1
  // rows are skipped, but keep their columns.
  Features(const char* op, const std::vector<int64_t>& num_rows, const std::vector<int64_t>& widths,
           const std::vector<Tensor>& ids, const std::vector<int64_t>& tables, int64_t padding)
      : width_(0) {
    count_ = require_features(op, num_rows, widths, ids, tables);
    for (size_t f = 0; f < ids.size(); ++f) {
      const int64_t table = tables[f];
      const int64_t each = ids[f].dim() == 2 ? ids[f].size(1) : 1;
      if (num_rows[table] >= 0)
        features_.push_back(
            {table, width_, {count_, each, rows(op, f, ids[f], num_rows[table]), padding, widths[table], 0}});
      width_ += widths[table];
    }
    for (Feature& feature : features_) feature.bags.stride = width_;
  }

  int64_t count() const { return count_; }
  int64_t width() const { return width_; }
  const std::vector<Feature>& all() const { return features_; }

 private:
  // Returns contiguous ids after checking that all are rows of a table of `size` rows.
  Indices rows(const char* op, size_t feature, const Tensor& ids, int64_t size) {
    const Tensor& held = held_.emplace_back(recops::contiguous(ids));
    const Indices found = indices(op, "ids", held);
    const int64_t outside = select_kernels().find_outside(found, held.numel(), size);
    if (outside < 0) return found;
    throw std::out_of_range(concat(op, ": bags[", feature, "]: ids must be from 0 to ", size - 1, ", got ids",
                                   place_of(held, outside), " = ", found[outside]));
  }

  int64_t count_, width_;
  std::vector<Feature> features_;
  std::vector<Tensor> held_;
};

}  // namespace recops::embedding
