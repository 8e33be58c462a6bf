// Co-action on rows that the kernel looks up in two tables, with gradients per table row.
#include <tuple>

#include "coaction/problem.h"
#include "embedding/gradient.h"

namespace recops::coaction {
namespace {

// Gradient rows grouped by table row, for table rows that have any. One thread sums the rows of a group, in order.
class Segments {
 public:
  // Gradient row rows[i] belongs to row ids[i] of a table of `size` rows.
  Segments(const int64_t* ids, std::vector<int64_t> rows, int64_t size) : rows_(std::move(rows)) {
    const int64_t count = static_cast<int64_t>(rows_.size());
    RowSorter sorter(count);
    sorter.sort(std::bit_width(static_cast<uint64_t>(size)), [&](int64_t i) -> uint64_t { return ids[rows_[i]]; });
    std::vector<int64_t> sorted(count);
    for (int64_t i = 0; i < count; ++i) {
      sorted[i] = rows_[sorter[i]];
      const int64_t id = ids[sorted[i]];
      if (ids_.empty() || id != ids_.back()) {
        offsets_.push_back(i);
        ids_.push_back(id);
      }
    }
    offsets_.push_back(count);
    rows_ = std::move(sorted);
  }

  int64_t count() const { return static_cast<int64_t>(ids_.size()); }

  // Returns the table rows in ascending order, and their gradients.
  std::tuple<Tensor, Tensor> sum(const Tensor& values) const {
    Tensor ids = empty({count()}, ScalarType::Long, values);
    Tensor out = empty({count(), values.size(values.dim() - 1)}, values.scalar_type(), values);
    std::copy(ids_.begin(), ids_.end(), static_cast<int64_t*>(ids.data_ptr()));
    constexpr int64_t kGrain = 1 << 16;  // values
    const Kernels& kernels = select_kernels();
    const int64_t width = values.size(values.dim() - 1);
    const int64_t each = width * static_cast<int64_t>(rows_.size()) / std::max<int64_t>(count(), 1);
    parallel_for(count(), kGrain / std::max<int64_t>(each, 1) + 1, [&](int64_t begin, int64_t end) {
      kernels.sum_segments(values.data_ptr(), values.scalar_type() == ScalarType::Double, width, rows_.data(),
                           offsets_.data(), begin, end, out.data_ptr());
    });
    return {ids, out};
  }

 private:
  std::vector<int64_t> rows_, ids_, offsets_;
};

// Contiguous, checked arguments of a call.
class Gather {
 public:
  Gather(const char* op, const Tensor& feed_table, const Tensor& history, const Tensor& params_table,
         const Tensor& targets, std::vector<int64_t> dims, const Options& options, const std::optional<Tensor>& lengths,
         const std::optional<Tensor>& feed_index)
      : dims_(std::move(dims)),
        net_(options.net(op, dims_.data(), static_cast<int64_t>(dims_.size()) - 1)),
        feed_(recops::contiguous(feed_table)),
        params_(recops::contiguous(params_table)),
        targets_(checked_indices(op, "targets", targets, params_table.size(0))),
        history_(recops::contiguous(torch::stable::to(history, ScalarType::Long))),
        candidates_(op, history.size(0), history.size(1), targets.size(0), lengths, feed_index) {
    const Dtype type = require_rows(op, "feed_table", feed_, net_.dims[0]);
    const Dtype params_type = require_rows(op, "params_table", params_, params_width(net_));
    require_same_precision(op, "params_table", params_type, type);
    const int64_t items = feed_.size(0);
    for (int64_t user = 0; user < candidates_.num_users; ++user) {
      const int64_t *ids = history_data() + user * candidates_.time, length = candidates_.length(user);
      if (all_below(ids, length, items)) continue;
      for (int64_t t = 0; t < length; ++t)
        require_index(0 <= ids[t] && ids[t] < items, op, ": history must be from 0 to ", items - 1, ", got history[",
                      user, ", ", t, "] = ", ids[t]);
    }
    rows_ = Distinct::pays(items, candidates_.time) ? candidates_.feed_distinct(history_data(), items) : history_data();
    pair_.push_back({net_, candidates_.batch({feed_.data_ptr(), type, net_.dims[0], rows_},
                                             {params_.data_ptr(), params_type, params_width(net_), target_data()})});
  }

  Tensor forward() const {
    Tensor out = empty({candidates_.size, output_width(net_)}, feed_.scalar_type(), feed_);
    run_forward(pair_, candidates_.plan(), out);
    return out;
  }

  // Returns gradients per (user, fed row) and per candidate, in the compute type.
  PairGradients backward(const char* op, const Tensor& grad_in) const {
    const Tensor grad = recops::contiguous(grad_in);
    const ScalarType type = compute_type(pair_[0].batch.feed.dtype);
    require_gradient(op, grad, candidates_.size, output_width(net_), type);
    std::vector<PairGradients> to{{empty({candidates_.num_users, candidates_.time, net_.dims[0]}, type, feed_),
                                   empty({candidates_.size, params_width(net_)}, type, feed_)}};
    run_backward(pair_, candidates_, grad, to);
    return to[0];
  }

  // Returns a gradient for each table row: the sum of its gradient rows, added in order.
  std::tuple<Tensor, Tensor> dense(const PairGradients& rows) const {
    using Adder = embedding::Kernels;
    const Dtype type = dtype_of("coaction_gather_backward", "rows", rows.feed);
    const int64_t width = net_.dims[0], stride = candidates_.time * width * rows.feed.element_size();
    const auto add_feed = [&](const Adder& kernels, int64_t first, int64_t last, void* out) {
      const char* values = static_cast<const char*>(rows.feed.data_ptr());
      for (int64_t user = 0; user < candidates_.num_users; ++user)
        kernels.add_rows({candidates_.rows(user), 1, {rows_ + user * candidates_.time, true}, -1, width, width},
                         values + user * stride, type, first, last, out);
    };
    const auto add_params = [&](const Adder& kernels, int64_t first, int64_t last, void* out) {
      const int64_t params = params_width(net_);
      kernels.add_rows({candidates_.size, 1, {target_data(), true}, -1, params, params}, rows.params.data_ptr(), type,
                       first, last, out);
    };
    return {embedding::sum_by_row({feed_.size(0), width}, candidates_.num_users * candidates_.time, feed_, add_feed),
            embedding::sum_by_row({params_.size(0), params_width(net_)}, candidates_.size, params_, add_params)};
  }

  Segments history_segments() const {
    std::vector<int64_t> rows;
    for (int64_t user = 0; user < candidates_.num_users; ++user)
      for (int64_t t = 0; t < candidates_.rows(user); ++t) rows.push_back(user * candidates_.time + t);
    return Segments(rows_, std::move(rows), feed_.size(0));
  }

  Segments target_segments() const {
    std::vector<int64_t> rows(candidates_.size);
    for (int64_t b = 0; b < candidates_.size; ++b) rows[b] = b;
    return Segments(target_data(), std::move(rows), params_.size(0));
  }

 private:
  const int64_t* target_data() const { return static_cast<const int64_t*>(targets_.data_ptr()); }
  const int64_t* history_data() const { return static_cast<const int64_t*>(history_.data_ptr()); }

  std::vector<int64_t> dims_;
  Net net_;
  Tensor feed_, params_, targets_, history_;
  Candidates candidates_;
  const int64_t* rows_;  // row of feed_ per event, [users, time]
  std::vector<Pair> pair_;
};

// The unnamed argument, `sparse`, affects only the gradients.
Tensor coaction_gather(Tensor feed_table, Tensor history, Tensor params_table, Tensor targets,
                       std::vector<int64_t> dims, bool, int64_t orders, std::optional<Tensor> lengths,
                       std::optional<Tensor> feed_index, bool bias, Text activation, bool activate_last,
                       bool concat_hidden, Text pool, bool order_independent) {
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  return Gather("coaction_gather", feed_table, history, params_table, targets, dims, options, lengths, feed_index)
      .forward();
}

std::tuple<Tensor, Tensor> coaction_gather_backward(Tensor grad, Tensor feed_table, Tensor history, Tensor params_table,
                                                    Tensor targets, std::vector<int64_t> dims, int64_t orders,
                                                    std::optional<Tensor> lengths, std::optional<Tensor> feed_index,
                                                    bool bias, Text activation, bool activate_last, bool concat_hidden,
                                                    Text pool, bool order_independent) {
  const char* op = "coaction_gather_backward";
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  const Gather gather(op, feed_table, history, params_table, targets, dims, options, lengths, feed_index);
  return gather.dense(gather.backward(op, grad));
}

std::tuple<Tensor, Tensor, Tensor, Tensor> coaction_gather_backward_sparse(
    Tensor grad, Tensor feed_table, Tensor history, Tensor params_table, Tensor targets, std::vector<int64_t> dims,
    int64_t orders, std::optional<Tensor> lengths, std::optional<Tensor> feed_index, bool bias, Text activation,
    bool activate_last, bool concat_hidden, Text pool, bool order_independent) {
  const char* op = "coaction_gather_backward_sparse";
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  const Gather gather(op, feed_table, history, params_table, targets, dims, options, lengths, feed_index);
  const PairGradients rows = gather.backward(op, grad);
  const auto [feed_ids, feed] = gather.history_segments().sum(rows.feed);
  const auto [params_ids, params] = gather.target_segments().sum(rows.params);
  return {feed_ids, torch::stable::to(feed, feed_table.scalar_type()), params_ids,
          torch::stable::to(params, params_table.scalar_type())};
}

}  // namespace

#define RECOPS_COACTION_TABLES "Tensor feed_table, Tensor history, Tensor params_table, Tensor targets, SymInt[] dims, "
STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def("coaction_gather(" RECOPS_COACTION_TABLES "bool sparse, " RECOPS_COACTION_OPTIONS ") -> Tensor");
  m.def("coaction_gather_backward(Tensor grad, " RECOPS_COACTION_TABLES RECOPS_COACTION_OPTIONS
        ") -> (Tensor grad_feed_table, Tensor grad_params_table)");
  m.def("coaction_gather_backward_sparse(Tensor grad, " RECOPS_COACTION_TABLES RECOPS_COACTION_OPTIONS
        ") -> (Tensor feed_ids, Tensor grad_feed, Tensor params_ids, Tensor grad_params)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("coaction_gather", TORCH_BOX(&coaction_gather));
  m.impl("coaction_gather_backward", TORCH_BOX(&coaction_gather_backward));
  m.impl("coaction_gather_backward_sparse", TORCH_BOX(&coaction_gather_backward_sparse));
}

}  // namespace recops::coaction
