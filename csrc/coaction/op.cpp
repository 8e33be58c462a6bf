// Co-action ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the checks of
// dtype and shape.
#include <cstring>
#include <numeric>
#include <tuple>

#include "coaction/problem.h"

namespace recops::coaction {
namespace {

// Adds the partial sums in `parts` to the rows of their users, in order.
template <class T>
void add_parts(const std::vector<std::pair<int64_t, int64_t>>& parts, const void* values, int64_t row, void* feed) {
  for (const auto& [user, part] : parts)
    for (int64_t i = 0; i < row; ++i)
      static_cast<T*>(feed)[user * row + i] += static_cast<const T*>(values)[part * row + i];
}

// Zeroes the gradient rows of users without candidates.
void zero_users_without_candidates(const Candidates& candidates, int64_t row_bytes, Tensor& feed) {
  if (!candidates.indexed()) return;
  std::vector<char> seen(candidates.num_users);
  for (int64_t b = 0; b < candidates.size; ++b) seen[candidates.users()[b]] = 1;
  for (int64_t user = 0; user < candidates.num_users; ++user)
    if (!seen[user]) std::memset(static_cast<char*>(feed.data_ptr()) + user * row_bytes, 0, row_bytes);
}

}  // namespace

// If a user's candidates extend into later pieces, each piece sums separately, and the sums are added in order. The
// result does not depend on the number of threads.
void run_backward(const std::vector<Pair>& pairs, const Candidates& candidates, const Tensor& grad,
                  std::vector<PairGradients>& to) {
  const Kernels& kernels = select_kernels();
  const Plan& plan = candidates.plan();
  std::vector<std::pair<int64_t, int64_t>> parts;  // user, and index of the partial sum
  std::vector<int64_t> part_of(plan.pieces(), -1);
  for (int64_t piece = 0; piece < plan.pieces(); ++piece)
    if (plan.continues(piece)) {
      part_of[piece] = static_cast<int64_t>(parts.size());
      parts.emplace_back(plan.user_at(piece * kPiece), part_of[piece]);
    }
  const Dtype dtype = dtype_of("coaction", "grad", grad);
  const int64_t bytes = grad.element_size(), stride = grad.dim() == 2 ? grad.size(1) : 0;
  std::vector<int64_t> columns{0};
  std::vector<Tensor> sums;
  for (size_t p = 0; p < pairs.size(); ++p) {
    columns.push_back(columns.back() + output_width(pairs[p].net));
    sums.push_back(empty({static_cast<int64_t>(parts.size()), candidates.time, pairs[p].net.dims[0]},
                         to[p].feed.scalar_type(), to[p].feed));
  }
  constexpr int64_t kPasses = 3;  // forward again, gradients of values, gradients of parameters
  for_pieces(kernels, pairs, plan, kPasses, grad, [&](int64_t p, int64_t piece, void* scratch) {
    const int64_t row = candidates.time * pairs[p].net.dims[0] * sums[p].element_size();
    const Gradients gradients{
        {static_cast<const char*>(grad.data_ptr()) + columns[p] * bytes, dtype, stride, nullptr},
        to[p].feed.data_ptr(),
        part_of[piece] < 0 ? nullptr : static_cast<char*>(sums[p].data_ptr()) + part_of[piece] * row,
        {to[p].params.data_ptr(), dtype_of("coaction", "params", to[p].params), params_width(pairs[p].net)}};
    kernels.backward(pairs[p].net, pairs[p].batch, gradients, piece * kPiece,
                     std::min((piece + 1) * kPiece, plan.size()), scratch);
  });
  for (size_t p = 0; p < pairs.size(); ++p) {
    const int64_t row = candidates.time * pairs[p].net.dims[0];
    zero_users_without_candidates(candidates, row * to[p].feed.element_size(), to[p].feed);
    const auto add = to[p].feed.scalar_type() == ScalarType::Double ? add_parts<double> : add_parts<float>;
    add(parts, sums[p].data_ptr(), row, to[p].feed.data_ptr());
  }
}

namespace {

// Contiguous inputs of all pairs of a call, and their candidates.
class Problem {
 public:
  Problem(const char* op, const std::vector<Tensor>& feeds, const std::vector<Tensor>& params,
          const std::vector<int64_t>& dims, const std::vector<int64_t>& depths, const Options& options,
          const std::optional<Tensor>& lengths, const std::optional<Tensor>& feed_index)
      : dims_(dims) {
    require_value(!feeds.empty() && feeds.size() == params.size() && feeds.size() == depths.size() &&
                      std::accumulate(depths.begin(), depths.end(), int64_t{0}) == static_cast<int64_t>(dims.size()),
                  op, ": feeds, params and dims must describe the same pairs, at least one, got ", feeds.size(), ", ",
                  params.size(), " and ", depths.size());
    const int64_t* next = dims_.data();
    for (size_t p = 0; p < feeds.size(); ++p) {
      feeds_.push_back(recops::contiguous(feeds[p]));
      params_.push_back(recops::contiguous(params[p]));
      const Tensor &feed = feeds_[p], &row = params_[p];
      const Net net = options.net(op, next, depths[p] - 1);
      next += depths[p];
      require_dim(op, "feed", feeds_[0], 3);
      const Dtype type = require_feed(op, feed, feeds_[0], net);
      const Dtype params_type = require_rows(op, "params", row, params_width(net));
      require_shape(op, "params", row, {params_[0].size(0), params_width(net)});
      require_same_precision(op, "params", params_type, type);
      if (p == 0) candidates_.emplace(op, feed.size(0), feed.size(1), row.size(0), lengths, feed_index);
      pairs_.push_back({net, candidates_->batch({feed.data_ptr(), type, net.dims[0], nullptr},
                                                {row.data_ptr(), params_type, params_width(net), nullptr})});
    }
  }

  Tensor forward() const {
    int64_t width = 0;
    for (const Pair& pair : pairs_) width += output_width(pair.net);
    Tensor out = empty({candidates_->size, width}, feeds_[0].scalar_type(), feeds_[0]);
    run_forward(pairs_, candidates_->plan(), out);
    return out;
  }

  // Returns the gradients of all feeds, then of all params.
  std::vector<Tensor> backward(const char* op, const Tensor& grad_in) const {
    const Tensor grad = recops::contiguous(grad_in);
    int64_t width = 0;
    std::vector<PairGradients> to;
    for (size_t p = 0; p < pairs_.size(); ++p) {
      width += output_width(pairs_[p].net);
      const Tensor& feed = feeds_[p];
      to.push_back({empty({feed.size(0), feed.size(1), feed.size(2)}, compute_type(pairs_[p].batch.feed.dtype), feed),
                    empty({params_[p].size(0), params_[p].size(1)}, params_[p].scalar_type(), params_[p])});
    }
    require_gradient(op, grad, candidates_->size, width, to[0].feed.scalar_type());
    run_backward(pairs_, *candidates_, grad, to);
    std::vector<Tensor> gradients;
    for (size_t p = 0; p < pairs_.size(); ++p)
      gradients.push_back(torch::stable::to(to[p].feed, feeds_[p].scalar_type()));
    for (const PairGradients& of_pair : to) gradients.push_back(of_pair.params);
    return gradients;
  }

 private:
  std::vector<int64_t> dims_;
  std::vector<Tensor> feeds_, params_;
  std::optional<Candidates> candidates_;
  std::vector<Pair> pairs_;
};

Tensor coaction(Tensor feed, Tensor params, std::vector<int64_t> dims, int64_t orders, std::optional<Tensor> lengths,
                std::optional<Tensor> feed_index, bool bias, Text activation, bool activate_last, bool concat_hidden,
                Text pool, bool order_independent) {
  const int64_t depth = static_cast<int64_t>(dims.size());
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  return Problem("coaction", {feed}, {params}, dims, {depth}, options, lengths, feed_index).forward();
}

std::tuple<Tensor, Tensor> coaction_backward(Tensor grad, Tensor feed, Tensor params, std::vector<int64_t> dims,
                                             int64_t orders, std::optional<Tensor> lengths,
                                             std::optional<Tensor> feed_index, bool bias, Text activation,
                                             bool activate_last, bool concat_hidden, Text pool,
                                             bool order_independent) {
  const char* op = "coaction_backward";
  const int64_t depth = static_cast<int64_t>(dims.size());
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  const std::vector<Tensor> gradients =
      Problem(op, {feed}, {params}, dims, {depth}, options, lengths, feed_index).backward(op, grad);
  return {gradients[0], gradients[1]};
}

Tensor coaction_multi(std::vector<Tensor> feeds, std::vector<Tensor> params, std::vector<int64_t> dims,
                      std::vector<int64_t> depths, int64_t orders, std::optional<Tensor> lengths,
                      std::optional<Tensor> feed_index, bool bias, Text activation, bool activate_last,
                      bool concat_hidden, Text pool, bool order_independent) {
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  return Problem("coaction_multi", feeds, params, dims, depths, options, lengths, feed_index).forward();
}

std::vector<Tensor> coaction_multi_backward(Tensor grad, std::vector<Tensor> feeds, std::vector<Tensor> params,
                                            std::vector<int64_t> dims, std::vector<int64_t> depths, int64_t orders,
                                            std::optional<Tensor> lengths, std::optional<Tensor> feed_index, bool bias,
                                            Text activation, bool activate_last, bool concat_hidden, Text pool,
                                            bool order_independent) {
  const char* op = "coaction_multi_backward";
  const Options options{orders, bias, activation, activate_last, concat_hidden, pool, order_independent};
  return Problem(op, feeds, params, dims, depths, options, lengths, feed_index).backward(op, grad);
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def("coaction(Tensor feed, Tensor params, SymInt[] dims, " RECOPS_COACTION_OPTIONS ") -> Tensor");
  m.def("coaction_backward(Tensor grad, Tensor feed, Tensor params, SymInt[] dims, " RECOPS_COACTION_OPTIONS
        ") -> (Tensor grad_feed, Tensor grad_params)");
  m.def("coaction_multi(Tensor[] feeds, Tensor[] params, SymInt[] dims, SymInt[] depths, " RECOPS_COACTION_OPTIONS
        ") -> Tensor");
  m.def(
      "coaction_multi_backward(Tensor grad, Tensor[] feeds, Tensor[] params, SymInt[] dims, SymInt[] "
      "depths, " RECOPS_COACTION_OPTIONS ") -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("coaction", TORCH_BOX(&coaction));
  m.impl("coaction_backward", TORCH_BOX(&coaction_backward));
  m.impl("coaction_multi", TORCH_BOX(&coaction_multi));
  m.impl("coaction_multi_backward", TORCH_BOX(&coaction_multi_backward));
}

}  // namespace recops::coaction
