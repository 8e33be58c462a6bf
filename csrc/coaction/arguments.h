// Checks of co-action arguments: options, dtypes and shapes. No data is read.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "coaction/kernel.h"
#include "common/arguments.h"
#include "common/compat.h"

namespace recops::coaction {

// Schema of Options and the related arguments.
#define RECOPS_COACTION_OPTIONS                                                                              \
  "SymInt orders, Tensor? lengths, Tensor? feed_index, bool bias, str activation, bool activate_last, bool " \
  "concat_hidden, str pool, bool order_independent"

// Limits far above practical networks. They keep the number of parameters, and so the shape, within 64 bits.
constexpr int64_t kMostLayers = 64, kMostDim = 1 << 16, kMostOrders = 1 << 10;

inline Activation activation_of(const char* op, const std::string& name) {
  if (name == "tanh") return Activation::tanh;
  if (name == "selu") return Activation::selu;
  if (name == "relu") return Activation::relu;
  require_value(name == "none", op, ": activation must be 'tanh', 'selu', 'relu' or 'none', got '", name, "'");
  return Activation::none;
}

// Options shared by all pairs of a call; only the dims differ.
struct Options {
  int64_t orders;
  bool bias;
  std::string activation;
  bool activate_last, concat_hidden;
  std::string pool;
  bool order_independent;

  Net net(const char* op, const int64_t* dims, int64_t layers) const {
    require_value(1 <= layers && layers <= kMostLayers, op, ": dims must name what is fed and from 1 to ", kMostLayers,
                  " layers, got ", layers + 1, " numbers");
    for (int64_t i = 0; i <= layers; ++i) require_between(op, "dims", dims[i], 1, kMostDim);
    require_between(op, "orders", orders, 1, kMostOrders);
    require_value(pool == "sum" || pool == "mean", op, ": pool must be 'sum' or 'mean', got '", pool, "'");
    return {dims,          layers,         orders,           activation_of(op, activation), bias, activate_last,
            concat_hidden, pool == "mean", order_independent};
  }
};

// Checks feed [users, time, dims[0]], one history per user.
inline Dtype require_feed(const char* op, const Tensor& feed, const Tensor& first, const Net& net) {
  require_dim(op, "feed", feed, 3);
  require_shape(op, "feed", feed, {first.size(0), first.size(1), net.dims[0]});
  require_value(feed.scalar_type() == first.scalar_type(), op, ": feed must have the same dtype in all pairs, got ",
                name_of(first.scalar_type()), " and ", name_of(feed.scalar_type()));
  return dtype_of(op, "feed", feed);
}

// Checks a table [rows, width], or rows of one.
inline Dtype require_rows(const char* op, const char* name, const Tensor& rows, int64_t width) {
  require_dim(op, name, rows, 2);
  require_shape(op, name, rows, {rows.size(0), width});
  return dtype_of(op, name, rows);
}

inline void require_same_precision(const char* op, const char* name, Dtype params, Dtype feed) {
  require_value(compute_type(params) == compute_type(feed), op, ": ", name,
                " must have the feed's precision, got float64 and another dtype");
}

// Checks the user of each of `size` candidates, and the history lengths.
inline void require_users(const char* op, int64_t users, int64_t size, const std::optional<Tensor>& lengths,
                          const std::optional<Tensor>& feed_index) {
  // Empty histories use no memory but take time, so the number of users needs a limit.
  constexpr int64_t kMostUsers = std::numeric_limits<int32_t>::max();
  require_value(users <= kMostUsers, op, ": histories must be of at most ", kMostUsers, " users, got ", users);
  if (lengths) require_numel(op, "lengths", *lengths, users);
  if (feed_index) require_numel(op, "feed_index", *feed_index, size);
  require_value(feed_index || users == size, op, ": params must have a row for each of ", users,
                " users without feed_index, got ", size);
}

inline void require_gradient(const char* op, const Tensor& grad, int64_t size, int64_t width, ScalarType type) {
  require_shape(op, "grad", grad, {size, width});
  require_value(compute_type(dtype_of(op, "grad", grad)) == type, op, ": grad must have the result's precision, got ",
                name_of(grad.scalar_type()));
}

}  // namespace recops::coaction
