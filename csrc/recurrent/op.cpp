// Recurrent scan ops: schemas, data checks, memory and threads. The kernels have the arithmetic, arguments.h the checks
// of dtype and shape.
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/threads.h"
#include "recurrent/arguments.h"
#include "recurrent/kernel.h"
#include "recurrent/plan.h"

namespace recops::recurrent {
namespace {

// Least number of multiplications per thread.
constexpr int64_t kGrain = 1 << 18;

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Contiguous tensors of a call, and the scan on them.
class Call {
 public:
  Scan scan;
  int64_t rows = 0, sources = 0;
  bool has_attention, shared;  // shared: several rows may have one source

  // Without `w_ih` the input is the gates.
  Call(const char* op, const Tensor& input, const Maybe& w_ih, const Tensor& w_hh, const Maybe& b_ih, const Maybe& b_hh,
       const Maybe& h0, const Maybe& attention, const Maybe& lengths, const Maybe& gates_index, const std::string& cell,
       const std::string& reset, const std::string& update)
      : has_attention(attention.has_value()), shared(gates_index.has_value()), op_(op) {
    const int64_t hidden = require_weights(op, input, w_ih, w_hh);
    sources = input.size(0);
    rows = gates_index ? gates_index->numel() : sources;
    scan.dtype = dtype_of(op, "input", input);
    type_ = compute_type(scan.dtype);
    scan.reset_before = recurrent::reset_before(op, reset);
    scan.mix = mix_of(op, cell, update);
    scan.steps = input.size(1);
    scan.hidden = hidden;
    scan.projected = w_ih.has_value();
    scan.inputs = scan.projected ? input.size(2) : 0;
    scan.input = hold("input", input, input.numel(), input.scalar_type());
    scan.w_ih = w_ih ? hold("w_ih", w_ih, w_ih->numel()) : nullptr;
    scan.w_hh = hold("w_hh", w_hh, w_hh.numel());
    scan.b_ih = hold("b_ih", b_ih, 3 * hidden);
    scan.b_hh = hold("b_hh", b_hh, 3 * hidden);
    scan.h0 = hold("h0", h0, rows * hidden);
    scan.attention = hold("attention", attention, rows * scan.steps);
    const auto* length = static_cast<const int64_t*>(hold("lengths", lengths, sources, ScalarType::Long));
    const auto* index = static_cast<const int64_t*>(hold("gates_index", gates_index, rows, ScalarType::Long));
    for (int64_t i = 0; length != nullptr && i < sources; ++i)
      require_value(length[i] >= 0 && length[i] <= scan.steps, op, ": lengths must be from 0 to ", scan.steps,
                    ", got lengths[", i, "] = ", length[i]);
    for (int64_t i = 0; index != nullptr && i < rows; ++i)
      require_index(index[i] >= 0 && index[i] < sources, op, ": gates_index must be from 0 to ", sources - 1,
                    ", got gates_index[", i, "] = ", index[i]);
    plan_.emplace(rows, scan.steps, length, index);
  }

  ScalarType type() const { return type_; }
  const Plan& plan() const { return *plan_; }

  // Returns the data of an optional tensor after checking its size and dtype. A contiguous copy lives as long as the
  // call.
  const void* hold(const char* name, const Maybe& tensor, int64_t size, ScalarType type) {
    if (!tensor) return nullptr;
    require_values(op_, name, tensor, size, type);
    held_.push_back(recops::contiguous(*tensor));
    return held_.back().data_ptr();
  }
  const void* hold(const char* name, const Maybe& tensor, int64_t size) { return hold(name, tensor, size, type_); }

  // Calls recops::on_threads with the work of a pass over all cells.
  template <class F>
  void on_threads(const Kernels& kernels, int64_t pieces, bool backward, const Tensor& like, const F& f) const {
    const int64_t work = plan_->cells() * 3 * scan.hidden * (scan.hidden + scan.inputs);
    recops::on_threads(pieces, work, kernels.scratch_bytes(scan, backward), like, f);
  }

  Tensor pack(const Kernels& kernels, bool backward, const Tensor& like) const {
    Tensor packed = empty({kernels.packed_bytes(scan, backward)}, ScalarType::Byte, like);
    kernels.pack(scan, backward, packed.data_ptr());
    return packed;
  }

 private:
  const char* op_;
  ScalarType type_;
  std::vector<Tensor> held_;
  std::optional<Plan> plan_;
};

using Scanned = std::tuple<Tensor, Tensor, Tensor>;

Scanned forward(const char* op, const Call& call, const Tensor& input, const std::string& keep_name) {
  const Kernels& kernels = select_kernels();
  const Scan& scan = call.scan;
  const Keep keep = keep_of(op, keep_name, scan.dtype);
  Tensor outputs = empty({call.rows, scan.steps, scan.hidden}, input.scalar_type(), input);
  Tensor h_last = empty({call.rows, scan.hidden}, call.type(), input);
  const int64_t kept_values = keep == Keep::gates ? (scan.reset_before ? 3 : 4) * scan.hidden : scan.hidden;
  Tensor kept = keep == Keep::nothing ? empty({0}, call.type(), input)
                                      : empty({call.rows, scan.steps, kept_values}, call.type(), input);
  const Forward to{keep, outputs.data_ptr(), h_last.data_ptr(), kept.data_ptr()};
  const Tensor packed = call.pack(kernels, false, input);
  call.on_threads(kernels, call.plan().num_blocks(), false, input, [&](int64_t first, int64_t stride, void* scratch) {
    for (int64_t b = first; b < call.plan().num_blocks(); b += stride)
      kernels.forward(scan, packed.data_ptr(), call.plan().block(b), scratch, to);
  });
  return {outputs, h_last, kept};
}

struct Gradients {
  Tensor input, h0, attention, w_ih, w_hh, b_ih, b_hh;
};

Gradients backward(Call& call, const Tensor& input, const Maybe& grad_outputs, const Maybe& grad_h_last,
                   const Tensor& outputs, const Tensor& kept) {
  const Kernels& kernels = select_kernels();
  const Scan& scan = call.scan;
  const int64_t hidden = scan.hidden, cells = call.rows * scan.steps;
  const bool wide = call.type() == input.scalar_type();
  Keep keep = Keep::nothing;
  if (!wide)
    keep = Keep::states;
  else if (kept.numel() > 0)
    keep = Keep::gates;
  const int64_t gates = scan.reset_before ? 3 : 4;
  const void* kept_data =
      keep == Keep::nothing ? nullptr : call.hold("kept", kept, cells * hidden * (keep == Keep::gates ? gates : 1));

  Gradients to;
  // Rows with a shared source add to its gradient.
  to.input = call.shared ? zeros({call.sources, scan.steps, input.size(2)}, call.type(), input)
                         : empty({call.sources, scan.steps, input.size(2)}, call.type(), input);
  to.h0 = empty({call.rows, hidden}, call.type(), input);
  to.attention =
      call.has_attention ? empty({call.rows, scan.steps}, call.type(), input) : empty({0}, call.type(), input);
  to.w_hh = empty({3 * hidden, hidden}, call.type(), input);
  to.b_hh = empty({3 * hidden}, call.type(), input);
  if (scan.projected) {
    to.w_ih = empty({3 * hidden, scan.inputs}, call.type(), input);
    to.b_ih = empty({3 * hidden}, call.type(), input);
  }
  const Backward from{keep,
                      kept_data,
                      keep == Keep::states ? nullptr : call.hold("outputs", outputs, cells * hidden),
                      call.hold("grad_outputs", grad_outputs, cells * hidden, input.scalar_type()),
                      call.hold("grad_h_last", grad_h_last, call.rows * hidden),
                      call.shared,
                      to.input.data_ptr(),
                      to.h0.data_ptr(),
                      call.has_attention ? to.attention.data_ptr() : nullptr};

  const int64_t groups = call.plan().num_groups(),
                sum_bytes = kernels.sum_values(scan) * static_cast<int64_t>(to.h0.element_size());
  Tensor sums = empty({groups, sum_bytes}, ScalarType::Byte, input);
  char* const sums_data = static_cast<char*>(sums.data_ptr());
  const Tensor packed = call.pack(kernels, true, input);
  call.on_threads(kernels, groups, true, input, [&](int64_t first, int64_t stride, void* scratch) {
    for (int64_t g = first; g < groups; g += stride) {
      char* const group_sums = sums_data + g * sum_bytes;
      std::memset(group_sums, 0, static_cast<size_t>(sum_bytes));
      for (int64_t b = call.plan().first_block(g); b < call.plan().first_block(g + 1); ++b)
        kernels.backward(scan, packed.data_ptr(), call.plan().block(b), scratch, from, group_sums);
    }
  });
  const int64_t values = kernels.sum_values(scan);
  parallel_for(values, kGrain / groups + 1,
               [&](int64_t begin, int64_t end) { kernels.add_groups(scan, sums_data, groups, begin, end); });
  kernels.unpack(scan, sums_data,
                 {scan.projected ? to.w_ih.data_ptr() : nullptr, to.w_hh.data_ptr(),
                  scan.projected ? to.b_ih.data_ptr() : nullptr, to.b_hh.data_ptr()});
  return to;
}

Scanned recurrent_scan(Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths,
                       Maybe gates_index, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_scan";
  const Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  return forward(op, call, gates, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_scan_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0,
    Maybe attention, Maybe lengths, Maybe gates_index, Text cell, Text reset, Text update) {
  const char* op = "recurrent_scan";
  Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  Gradients to = backward(call, gates, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_hh, to.b_hh, to.h0, to.attention};
}

Scanned recurrent_layer(Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih, Maybe b_hh, Maybe h0, Maybe attention,
                        Maybe lengths, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_layer";
  const Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  return forward(op, call, x, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_layer_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih,
    Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths, Text cell, Text reset, Text update) {
  const char* op = "recurrent_layer";
  Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  Gradients to = backward(call, x, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_ih, to.w_hh, to.b_ih, to.b_hh, to.h0, to.attention};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "recurrent_scan(Tensor gates, Tensor w_hh, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, Tensor? "
      "gates_index, str cell, str reset, str update, str keep) -> (Tensor outputs, Tensor h_last, Tensor kept)");
  m.def(
      "recurrent_scan_backward(Tensor? grad_outputs, Tensor? grad_h_last, Tensor outputs, Tensor kept, Tensor gates, "
      "Tensor w_hh, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, Tensor? gates_index, str cell, str "
      "reset, str update) -> (Tensor grad_gates, Tensor grad_w_hh, Tensor grad_b_hh, Tensor grad_h0, Tensor "
      "grad_attention)");
  m.def(
      "recurrent_layer(Tensor x, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, Tensor? h0, Tensor? attention, "
      "Tensor? lengths, str cell, str reset, str update, str keep) -> (Tensor outputs, Tensor h_last, Tensor kept)");
  m.def(
      "recurrent_layer_backward(Tensor? grad_outputs, Tensor? grad_h_last, Tensor outputs, Tensor kept, Tensor x, "
      "Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, str cell, "
      "str reset, str update) -> (Tensor grad_x, Tensor grad_w_ih, Tensor grad_w_hh, Tensor grad_b_ih, Tensor "
      "grad_b_hh, Tensor grad_h0, Tensor grad_attention)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("recurrent_scan", TORCH_BOX(&recurrent_scan));
  m.impl("recurrent_scan_backward", TORCH_BOX(&recurrent_scan_backward));
  m.impl("recurrent_layer", TORCH_BOX(&recurrent_layer));
  m.impl("recurrent_layer_backward", TORCH_BOX(&recurrent_layer_backward));
}

}  // namespace recops::recurrent
