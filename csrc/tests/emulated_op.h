// CUDA ops whose kernels run on the host, in a library that a test loads into torch and calls with tensors of the CPU.
// The library hides the functions of compat.h that need a GPU by those of namespace emulated; see trie_cuda_op.cpp.
//
// Between recops_begin() and recops_end(), tensors that ops allocate and those of recops_allocate() are device memory:
// an access outside a kernel ends the process with SIGSEGV, as it would on a GPU. The emulation has no function of CUDA
// that waits, copies or allocates, so a launcher that calls one does not compile.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <utility>
#include <vector>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "common/launch.h"

namespace recops {

bool has_code_for(int32_t) { return true; }

void require_launched(const char* op, int error) {
  if (error != 0) throw std::runtime_error(concat(op, ": its CUDA kernel did not start: error ", error));
}

namespace emulated {

// Pages that the host may access only while they are open.
class DeviceMemory {
 public:
  void* allocate(size_t bytes) {
    const size_t size = bytes + 1;  // mmap refuses 0 bytes
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::runtime_error("emulated: no memory");
    std::memset(data, 0xff, bytes);  // NaN or −1
    blocks_.push_back({data, size});
    if (is_in_call) open(false);
    return data;
  }

  void open(bool is_open) const {
    for (const Block& block : blocks_) mprotect(block.data, block.size, is_open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }

  bool is_in_call = false;

 private:
  struct Block {
    void* data;
    size_t size;
  };

  std::vector<Block> blocks_;
};

inline DeviceMemory memory;

// Opens the memory for kernels and for torch's own ops on the device.
struct OnDevice {
  OnDevice() { memory.open(true); }
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() { memory.open(!memory.is_in_call); }
};

// What has happened since recops_begin().
struct Counts {
  int launches, on_another_stream, without_guard, reads;
};
inline Counts counts;
inline int guards = 0;

class DeviceGuard {
 public:
  explicit DeviceGuard(const Tensor&) { ++guards; }
  DeviceGuard(const DeviceGuard&) = delete;
  ~DeviceGuard() { --guards; }
};

inline char stream;
inline void* current_stream(const Tensor&) { return &stream; }

inline void before_launch(void* on_stream) {
  ++counts.launches;
  counts.on_another_stream += on_stream != &stream;
  counts.without_guard += guards == 0;
  memory.open(true);
}
inline void after_launch() { memory.open(!memory.is_in_call); }

inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  Tensor tensor = recops::empty(sizes, dtype, like);
  if (!memory.is_in_call) return tensor;
  std::vector<int64_t> strides;
  for (int64_t d = 0; d < tensor.dim(); ++d) strides.push_back(tensor.stride(d));
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_create_tensor_from_blob(
      memory.allocate(tensor.numel() * tensor.element_size()), tensor.dim(), sizes.begin(), strides.data(), 0,
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype)), aoti_torch_device_type_cpu(), 0,
      &handle));
  return Tensor(handle);
}

inline Tensor zeros(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  Tensor tensor = emulated::empty(sizes, dtype, like);
  const OnDevice on_device;
  TORCH_ERROR_CODE_CHECK(aoti_torch_zero_(tensor.get()));
  return tensor;
}

inline std::pair<Tensor, Tensor> sorted(const Tensor& values) {
  const OnDevice on_device;
  return recops::sorted(values);
}

inline std::vector<int64_t> read_values(const Tensor& values) {
  ++counts.reads;
  const OnDevice on_device;
  return recops::read_values(values);
}

}  // namespace emulated
}  // namespace recops

#define RECOPS_EXPORT extern "C" [[gnu::visibility("default")]]

RECOPS_EXPORT void* recops_allocate(size_t bytes) { return recops::emulated::memory.allocate(bytes); }

// Begins a call of an op, during which only kernels may access device memory.
RECOPS_EXPORT void recops_begin() {
  using namespace recops;
  emulated::counts = {};
  emulation::before_launch = emulated::before_launch;
  emulation::after_launch = emulated::after_launch;
  emulated::memory.is_in_call = true;
  emulated::memory.open(false);
}

// Ends it and returns what the launches did.
RECOPS_EXPORT recops::emulated::Counts recops_end() {
  recops::emulated::memory.is_in_call = false;
  recops::emulated::memory.open(true);
  return recops::emulated::counts;
}
