// Shared code of the co-action ops: checked arguments, and the forward and backward passes over all pieces.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "coaction/arguments.h"
#include "coaction/distinct.h"
#include "coaction/kernel.h"
#include "coaction/plan.h"
#include "common/arena.h"
#include "common/compat.h"
#include "common/threads.h"

namespace recops::coaction {

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Whether all indices are from 0 to size − 1, without a branch per index.
inline bool all_below(const int64_t* data, int64_t count, int64_t size) {
  uint64_t signs = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t index = data[i];
    signs |= index | (static_cast<uint64_t>(size) - 1 - index);
  }
  return static_cast<int64_t>(signs) >= 0;
}

// Returns contiguous int64 indices after checking that each is from 0 to size − 1.
inline Tensor checked_indices(const char* op, const char* name, const Tensor& values, int64_t size) {
  const Tensor index = recops::contiguous(torch::stable::to(values, ScalarType::Long));
  const int64_t *data = static_cast<const int64_t*>(index.data_ptr()), count = index.numel();
  if (all_below(data, count, size)) return index;
  for (int64_t i = 0; i < count; ++i)
    require_index(0 <= data[i] && data[i] < size, op, ": ", name, " must be from 0 to ", size - 1, ", got ", name, "[",
                  i, "] = ", data[i]);
  return index;
}

// The user of each candidate and the history lengths, shared by all pairs of a call.
class Candidates {
 public:
  Candidates(const char* op, int64_t users, int64_t time, int64_t size, const std::optional<Tensor>& lengths,
             const std::optional<Tensor>& feed_index)
      : num_users(users), time(time), size(size) {
    require_users(op, users, size, lengths, feed_index);
    if (feed_index.has_value()) users_ = checked_indices(op, "feed_index", *feed_index, users);
    if (lengths.has_value()) lengths_ = recops::contiguous(torch::stable::to(*lengths, ScalarType::Long));
    const int64_t* length = this->lengths();
    for (int64_t u = 0; length && u < users; ++u)
      require_value(0 <= length[u] && length[u] <= time, op, ": lengths must be from 0 to ", time, ", got lengths[", u,
                    "] = ", length[u]);
    plan_.emplace(size, this->users(), users, length, time);
  }

  bool indexed() const { return users_.has_value(); }
  const int64_t* users() const { return users_ ? static_cast<const int64_t*>(users_->data_ptr()) : nullptr; }
  const Plan& plan() const { return *plan_; }
  // History lengths in events.
  const int64_t* lengths() const { return lengths_ ? static_cast<const int64_t*>(lengths_->data_ptr()) : nullptr; }
  int64_t length(int64_t user) const { return lengths_ ? lengths()[user] : time; }
  // Number of rows to feed: events, or distinct rows.
  int64_t rows(int64_t user) const { return distinct_ ? distinct_->lengths()[user] : length(user); }

  // Switches to feeding each distinct row of a history once. `ids` are rows of a table of `table_rows` rows.
  const int64_t* feed_distinct(const int64_t* ids, int64_t table_rows) {
    distinct_.emplace(ids, num_users, time, table_rows, [this](int64_t user) { return length(user); });
    plan_.emplace(size, users(), num_users, distinct_->lengths(), time);
    return distinct_->ids();
  }

  Batch batch(const Rows& feed, const Rows& params) const {
    if (!distinct_) return {feed, params, plan_->order(), users(), lengths(), size, time};
    return {feed, params, plan_->order(), users(), distinct_->lengths(), size, time, distinct_->times(), lengths()};
  }

  const int64_t num_users, time, size;

 private:
  std::optional<Tensor> users_, lengths_;
  std::optional<Distinct> distinct_;
  std::optional<Plan> plan_;
};

// A network with its inputs.
struct Pair {
  Net net;
  Batch batch;
};

// Calls f(item, scratch) for items 0 … count − 1 of about `work` operations each, on several threads if worthwhile.
template <class F>
void for_items(int64_t count, int64_t work, int64_t scratch_bytes, const Tensor& like, const F& f) {
  constexpr int64_t kGrain = 1 << 22;
  scratch_bytes = round_up_to_line(scratch_bytes);
  const int64_t shares = num_shares(count, kGrain / std::max<int64_t>(work, 1) + 1);
  const Tensor scratch = empty({shares, scratch_bytes}, ScalarType::Byte, like);
  for_shares(count, shares, [&](int64_t share, int64_t begin, int64_t end) {
    void* const own = static_cast<char*>(scratch.data_ptr()) + share * scratch_bytes;
    for (int64_t item = begin; item < end; ++item) f(item, own);
  });
}

// Calls f(pair, piece, scratch) for all pieces of all pairs; each costs `passes` forward passes.
template <class F>
void for_pieces(const Kernels& kernels, const std::vector<Pair>& pairs, const Plan& plan, int64_t passes,
                const Tensor& like, const F& f) {
  int64_t scratch_bytes = kCacheLine, flops = 0;
  for (const Pair& pair : pairs) {
    scratch_bytes = std::max(scratch_bytes, kernels.scratch_bytes(pair.net, pair.batch.feed.dtype));
    flops = std::max(flops, pair.batch.time * position_flops(pair.net) + 4 * params_width(pair.net));
  }
  const int64_t pieces = plan.pieces(), size = plan.size();
  for_items(pieces * static_cast<int64_t>(pairs.size()), flops * passes * std::min(size, kPiece), scratch_bytes, like,
            [&](int64_t item, void* scratch) { f(item / pieces, item % pieces, scratch); });
}

// Writes the results of all pairs into adjacent columns.
inline void run_forward(const std::vector<Pair>& pairs, const Plan& plan, Tensor& out) {
  const Kernels& kernels = select_kernels();
  const Dtype dtype = dtype_of("coaction", "feed", out);
  const int64_t bytes = out.element_size(), stride = out.dim() == 2 ? out.size(1) : 0;
  std::vector<int64_t> columns{0};
  for (const Pair& pair : pairs) columns.push_back(columns.back() + output_width(pair.net));
  for_pieces(kernels, pairs, plan, 1, out, [&](int64_t p, int64_t piece, void* scratch) {
    const Table to{static_cast<char*>(out.data_ptr()) + columns[p] * bytes, dtype, stride};
    kernels.forward(pairs[p].net, pairs[p].batch, piece * kPiece, std::min((piece + 1) * kPiece, plan.size()), scratch,
                    to);
  });
}

// Gradients of feed rows (compute type) and of parameter rows (any dtype).
struct PairGradients {
  Tensor feed, params;
};

void run_backward(const std::vector<Pair>& pairs, const Candidates& candidates, const Tensor& grad,
                  std::vector<PairGradients>& to);

}  // namespace recops::coaction
