// Auxiliary loss op: schema, data checks, memory and threads. The kernels have the arithmetic, arguments.h the checks
// of dtype and shape.
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/threads.h"
#include "next_event/arguments.h"
#include "next_event/kernel.h"

namespace recops::next_event {
namespace {

constexpr int64_t kGrain = 1 << 17;  // least number of values per thread

// Parameter gradients are summed per group of cells, with one set of sums per group. The number of groups depends only
// on the number of cells.
constexpr int64_t kMostGroups = 32, kCellsOfGroup = 256;

// The cells of all rows, and the problem on contiguous tensors that the call keeps alive.
class Call {
 public:
  Problem problem;

  Call(const char* op, const Tensor& states, const Tensor& events, const Tensor& drawn, const Tensor& lengths,
       const std::vector<Tensor>& layers)
      : op_(op) {
    require_sequences(op, states, events, drawn, lengths);
    type_ = require_layers(op, states, layers);
    const int64_t rows = states.size(0), steps = states.size(1), width = states.size(2);
    const auto num_layers = static_cast<int64_t>(layers.size() / 2);
    problem.dtype = dtype_of(op, "states", states);
    problem.width = width;
    problem.states = hold(states);
    problem.events = hold(events);
    int64_t inputs = 2 * width;
    for (int64_t l = 0; l < num_layers; ++l) {
      const int64_t outputs = layers[2 * l + 1].numel();
      problem.weights[l] = hold(layers[2 * l]);
      problem.biases[l] = hold(layers[2 * l + 1]);
      parameters_ += outputs * (inputs + 1);
      hidden_.push_back(inputs = outputs);
    }
    problem.num_hidden = num_layers - 1;
    problem.hidden = hidden_.data();
    find_cells(rows, steps, static_cast<const int64_t*>(hold(lengths)), static_cast<const int64_t*>(hold(drawn)));
  }

  ScalarType type() const { return type_; }
  int64_t parameters() const { return parameters_; }
  int64_t cells() const { return static_cast<int64_t>(cells_.size()); }
  int64_t groups() const { return std::clamp<int64_t>(cells() / kCellsOfGroup, 1, kMostGroups); }

 private:
  const void* hold(const Tensor& tensor) {
    held_.push_back(recops::contiguous(tensor));
    return held_.back().data_ptr();
  }

  void find_cells(int64_t rows, int64_t steps, const int64_t* lengths, const int64_t* drawn) {
    for (int64_t b = 0; b < rows; ++b) {
      require_value(lengths[b] >= 0 && lengths[b] <= steps, op_, ": lengths must be from 0 to ", steps,
                    ", got lengths[", b, "] = ", lengths[b]);
      for (int64_t t = 0; t + 1 < lengths[b]; ++t) {
        const int64_t other = drawn[b * (steps - 1) + t];
        require_index(other >= 0 && other < rows * steps, op_, ": drawn must be from 0 to ", rows * steps - 1,
                      ", got drawn[", b, ", ", t, "] = ", other);
        cells_.push_back(b * steps + t);
        drawn_.push_back(other);
      }
    }
    problem.cells = cells_.data();
    problem.drawn = drawn_.data();
  }

  const char* op_;
  ScalarType type_;
  int64_t parameters_ = 0;
  std::vector<int64_t> hidden_, cells_, drawn_;
  std::vector<Tensor> held_;
};

std::tuple<Tensor, Tensor, Tensor, Tensor> next_event_loss(Tensor states, Tensor events, Tensor drawn, Tensor lengths,
                                                           std::vector<Tensor> layers, bool differentiate) {
  const Call call("next_event_loss", states, events, drawn, lengths, layers);
  const Problem& problem = call.problem;
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const int64_t cells = call.cells(), groups = call.groups(), places = states.size(0) * states.size(1);
  const auto wanted = [&](std::initializer_list<int64_t> sizes) {
    return differentiate ? zeros(sizes, call.type(), states) : empty({0}, call.type(), states);
  };
  Tensor grad_states = wanted({states.size(0), states.size(1), problem.width});
  Tensor grad_events = wanted({states.size(0), states.size(1), problem.width});
  Tensor grad_drawn = wanted({cells, problem.width});
  Tensor sums = wanted({groups, kernels.sum_values(problem)});
  Tensor grad_parameters = wanted({call.parameters()});
  const Gradients to{grad_states.data_ptr(), grad_events.data_ptr(), grad_drawn.data_ptr()};

  const Tensor packed = empty({kernels.packed_bytes(problem)}, ScalarType::Byte, states);
  kernels.pack(problem, packed.data_ptr());
  std::vector<double> losses(groups);
  const int64_t group_bytes = differentiate ? kernels.sum_values(problem) * sums.element_size() : 0;
  const int64_t passes = differentiate ? 6 : 2;  // each cell has a positive and a negative
  on_threads(groups, cells * call.parameters() * passes, kernels.scratch_bytes(problem), states,
             [&](int64_t first, int64_t stride, void* scratch) {
               for (int64_t g = first; g < groups; g += stride)
                 losses[g] =
                     kernels.run(problem, packed.data_ptr(), cells * g / groups, cells * (g + 1) / groups, scratch,
                                 differentiate ? &to : nullptr, static_cast<char*>(sums.data_ptr()) + g * group_bytes);
             });
  double loss = 0;
  for (double of_group : losses) loss += of_group;
  if (differentiate) {
    parallel_for(places, kGrain / std::max<int64_t>(problem.width, 1) + 1,
                 [&](int64_t begin, int64_t end) { kernels.add_drawn(problem, cells, to, begin, end); });
    kernels.finish(problem, sums.data_ptr(), groups, grad_parameters.data_ptr());
  }
  Tensor total = empty({}, call.type(), states);
  if (call.type() == ScalarType::Double)
    *static_cast<double*>(total.data_ptr()) = loss;
  else
    *static_cast<float*>(total.data_ptr()) = static_cast<float>(loss);
  return {total, grad_states, grad_events, grad_parameters};
}

// Multiplies the gradients of the loss by the loss's own gradient.
std::tuple<Tensor, Tensor, Tensor> next_event_loss_backward(Tensor grad, Tensor grad_states, Tensor grad_events,
                                                            Tensor grad_parameters) {
  const char* op = "next_event_loss";
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const Dtype dtype = dtype_of(op, "grad", grad);
  const ScalarType type = compute_type(dtype);
  require_dtype(op, "grad", grad, type);
  require_value(grad.numel() == 1, op, ": grad must have one value, got ", grad.numel());
  const auto scaled = [&](const char* name, const Tensor& tensor) {
    require_dtype(op, name, tensor, type);
    const Tensor values = recops::contiguous(tensor);
    std::vector<int64_t> sizes;
    for (int64_t d = 0; d < tensor.dim(); ++d) sizes.push_back(tensor.size(d));
    Tensor to = empty(sizes, type, tensor);
    parallel_for(values.numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels.scale(dtype, grad.data_ptr(), values.data_ptr(), begin, end, to.data_ptr());
    });
    return to;
  };
  return {scaled("grad_states", grad_states), scaled("grad_events", grad_events),
          scaled("grad_parameters", grad_parameters)};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "next_event_loss(Tensor states, Tensor events, Tensor drawn, Tensor lengths, Tensor[] layers, bool "
      "differentiate) -> (Tensor total, Tensor grad_states, Tensor grad_events, Tensor grad_parameters)");
  m.def(
      "next_event_loss_backward(Tensor grad, Tensor grad_states, Tensor grad_events, Tensor grad_parameters) -> "
      "(Tensor grad_states, Tensor grad_events, Tensor grad_parameters)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("next_event_loss", TORCH_BOX(&next_event_loss));
  m.impl("next_event_loss_backward", TORCH_BOX(&next_event_loss_backward));
}

}  // namespace recops::next_event
