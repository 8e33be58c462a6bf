// Tensors of a backward pass, for ops on any device.
#pragma once

#include "common/compat.h"
#include "recurrent/call.h"
#include "recurrent/kernel.h"

namespace recops::recurrent {

struct Gradients {
  Tensor input, h0, attention, w_ih, w_hh, b_ih, b_hh;
};

inline Gradients empty_gradients(const Call& call, const Tensor& input) {
  const Scan& scan = call.scan;
  const auto gradient = [&](std::initializer_list<int64_t> sizes) { return empty(sizes, call.type(), input); };
  Gradients to;
  to.input = gradient({call.sources, scan.steps, input.size(2)});
  to.h0 = gradient({call.rows, scan.hidden});
  to.attention = call.has_attention ? gradient({call.rows, scan.steps}) : gradient({0});
  to.w_hh = gradient({3 * scan.hidden, scan.hidden});
  to.b_hh = gradient({3 * scan.hidden});
  if (scan.projected) {
    to.w_ih = gradient({3 * scan.hidden, scan.inputs});
    to.b_ih = gradient({3 * scan.hidden});
  }
  return to;
}

inline ParameterGradients parameters_of(const Call& call, const Gradients& to) {
  const bool projected = call.scan.projected;
  return {projected ? to.w_ih.data_ptr() : nullptr, to.w_hh.data_ptr(), projected ? to.b_ih.data_ptr() : nullptr,
          to.b_hh.data_ptr()};
}

// What the forward pass kept, which the dtype of the input and the tensor `kept` tell.
inline Keep kept_by_forward(const Call& call, const Tensor& input, const Tensor& kept) {
  if (call.type() != input.scalar_type()) return Keep::states;
  return kept.numel() > 0 ? Keep::gates : Keep::nothing;
}

// Checks the arguments of a backward pass. `call` holds contiguous copies of them.
inline Backward backward_of(Call& call, const Tensor& input, const Maybe& grad_outputs, const Maybe& grad_h_last,
                            const Tensor& outputs, const Tensor& kept, const Gradients& to) {
  const Scan& scan = call.scan;
  const int64_t cells = call.rows * scan.steps, states = cells * scan.hidden;
  const Keep keep = kept_by_forward(call, input, kept);
  return {keep,
          keep == Keep::nothing ? nullptr : call.hold("kept", kept, cells * kept_values(scan, keep)),
          keep == Keep::states ? nullptr : call.hold("outputs", outputs, states),
          call.hold("grad_outputs", grad_outputs, states, input.scalar_type()),
          call.hold("grad_h_last", grad_h_last, call.rows * scan.hidden),
          call.shared,
          to.input.data_ptr(),
          to.h0.data_ptr(),
          call.has_attention ? to.attention.data_ptr() : nullptr};
}

}  // namespace recops::recurrent
