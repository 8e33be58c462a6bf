// Arguments of a recurrent scan as contiguous tensors, for ops on any device.
#pragma once

#include <string>
#include <vector>

#include "common/compat.h"
#include "recurrent/arguments.h"
#include "recurrent/kernel.h"

namespace recops::recurrent {

// Contiguous tensors of a call, and the scan on them. No data is read.
class Call {
 public:
  Scan scan;
  int64_t rows = 0, sources = 0;
  bool has_attention, shared;            // shared: several rows may have one source
  const int64_t* lengths = nullptr;      // [sources]; null: all steps
  const int64_t* gates_index = nullptr;  // [rows]: source of each row; null: row i has source i

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
    this->lengths = static_cast<const int64_t*>(hold("lengths", lengths, sources, ScalarType::Long));
    this->gates_index = static_cast<const int64_t*>(hold("gates_index", gates_index, rows, ScalarType::Long));
  }

  const char* op() const { return op_; }
  ScalarType type() const { return type_; }

  // Returns the data of an optional tensor after checking its size and dtype. A contiguous copy lives as long as the
  // call.
  const void* hold(const char* name, const Maybe& tensor, int64_t size, ScalarType type) {
    if (!tensor) return nullptr;
    require_values(op_, name, tensor, size, type);
    held_.push_back(recops::contiguous(*tensor));
    return held_.back().data_ptr();
  }
  const void* hold(const char* name, const Maybe& tensor, int64_t size) { return hold(name, tensor, size, type_); }

 private:
  const char* op_;
  ScalarType type_;
  std::vector<Tensor> held_;
};

// Values that `keep` stores per row and step.
inline int64_t kept_values(const Scan& scan, Keep keep) {
  switch (keep) {
    case Keep::nothing: return 0;
    case Keep::states: return scan.hidden;
    default: return (scan.reset_before ? 3 : 4) * scan.hidden;
  }
}

inline Tensor empty_kept(const Call& call, Keep keep, const Tensor& like) {
  if (keep == Keep::nothing) return empty({0}, call.type(), like);
  return empty({call.rows, call.scan.steps, kept_values(call.scan, keep)}, call.type(), like);
}

}  // namespace recops::recurrent
