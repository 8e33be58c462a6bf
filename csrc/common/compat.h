// The only file that uses torch's stable ABI. Op files access torch only through it.
//
// An op file (csrc/<family>/op.cpp) includes this header, checks arguments, allocates outputs and calls a kernel on raw
// pointers. Errors in data are std::invalid_argument (ValueError in Python) or std::out_of_range (IndexError). They
// must be thrown outside parallel_for, which loses the message of an exception.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/dtype.h"
#include "common/indices.h"

namespace recops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Type of a `str` argument of an op. With std::string, every call would leak 48 bytes: the torch headers 2.10 to 2.13
// convert with a `new` whose string is copied and never deleted.
struct Text : std::string {
  using std::string::string;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// require_value(k >= 1, "rq_encode: beam must be ...") raises a ValueError, require_index an IndexError.
template <class... Parts>
void require_value(bool condition, const Parts&... message) {
  if (!condition) [[unlikely]]
    throw std::invalid_argument(concat(message...));
}

template <class... Parts>
void require_index(bool condition, const Parts&... message) {
  if (!condition) [[unlikely]]
    throw std::out_of_range(concat(message...));
}

// Error message for a failed allocation. torch's allocator prints the reason to standard error and returns only a code.
inline std::string no_room(std::span<const int64_t> sizes) {
  std::ostringstream out;
  out << "recops: no memory for a tensor of shape [";
  for (size_t i = 0; i < sizes.size(); ++i) out << (i == 0 ? "" : ", ") << sizes[i];
  out << ']';
  return out.str();
}

inline Tensor contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// Type of a `Tensor?` argument of an op.
using Maybe = std::optional<Tensor>;

// The dispatcher ignores tensors in an optional list. For other arguments it checks the device and resolves negative
// views; for these lists, resolved() does both.
using MaybeTensors = std::optional<std::vector<Tensor>>;

inline std::vector<Tensor> resolved(const char* op, const char* name, const MaybeTensors& list) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; list && i < list->size(); ++i) {
    int32_t device_type;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type((*list)[i].get(), &device_type));
    require_value(device_type == aoti_torch_device_type_cpu(), op, ": ", name, " must be on the CPU, got ", name, "[",
                  i, "] on another device");
    std::array<StableIValue, 1> stack{torch::stable::detail::from((*list)[i])};
    TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::resolve_neg", "", stack.data(), TORCH_ABI_VERSION));
    tensors.push_back(torch::stable::detail::to<Tensor>(stack[0]));
  }
  return tensors;
}

inline Dtype dtype_of(const char* op, const char* name, const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return Dtype::f32;
    case ScalarType::BFloat16: return Dtype::bf16;
    case ScalarType::Half: return Dtype::f16;
    case ScalarType::Double: return Dtype::f64;
    default:
      throw std::invalid_argument(concat(op, ": ", name, " must be float32, bfloat16, float16 or float64, got torch's ",
                                         torch::headeronly::toString(tensor.scalar_type())));
  }
}

// Type in which values of a dtype are computed and accumulated.
inline ScalarType compute_type(Dtype dtype) { return dtype == Dtype::f64 ? ScalarType::Double : ScalarType::Float; }

inline Indices indices(const char* op, const char* name, const Tensor& tensor) {
  const bool wide = tensor.scalar_type() == ScalarType::Long;
  require_value(wide || tensor.scalar_type() == ScalarType::Int, op, ": ", name,
                " must be int32 or int64, got torch's ", torch::headeronly::toString(tensor.scalar_type()));
  return {tensor.data_ptr(), wide};
}

// Returns an uninitialized contiguous tensor on the device of `like`. Calls the allocator directly because the
// dispatcher is slower, mostly with cold caches, and some ops take only microseconds.
inline Tensor empty(std::span<const int64_t> sizes, ScalarType dtype, const Tensor& like) {
  std::array<int64_t, 64> strides;  // torch's maximum number of dimensions
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides.at(i) = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  int32_t device_type, device_index;
  AtenTensorHandle tensor;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &device_index));
  const auto dtype_code = torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
  const auto failed = aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
                                               dtype_code, device_type, device_index, &tensor);
  if (failed != 0) [[unlikely]]
    throw std::runtime_error(no_room(sizes));
  return Tensor(tensor);
}

inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  return empty(std::span(sizes.begin(), sizes.size()), dtype, like);
}

// Calls f(begin, end) over [0, size) in chunks of at least `grain` on torch's threads. A single chunk runs inline, so
// that small inputs start no threads.
template <class F>
void parallel_for(int64_t size, int64_t grain, const F& f) {
  if (size <= 0) return;
  if (size <= grain)
    f(int64_t{0}, size);
  else
    torch::stable::parallel_for(0, size, grain, f);
}

// Returns a contiguous tensor of zeros on the device of `like`.
inline Tensor zeros(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  Tensor out = empty(sizes, dtype, like);
  constexpr int64_t kGrain = 1 << 20;  // bytes
  char* data = static_cast<char*>(out.data_ptr());
  parallel_for(out.numel() * out.element_size(), kGrain,
               [&](int64_t begin, int64_t end) { std::memset(data + begin, 0, end - begin); });
  return out;
}

inline int64_t num_threads() { return torch::stable::get_num_threads(); }

}  // namespace recops

template <>
struct torch::stable::detail::ToImpl<recops::Text> {
  static recops::Text call(StableIValue value, uint64_t, bool) {
    const auto handle = to<StringHandle>(value);
    size_t length;
    const char* data;
    TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
    TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
    recops::Text text(data, length);
    TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
    return text;
  }
};
