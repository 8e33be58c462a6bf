// Errors of emulated kernels.
#pragma once

#include <sstream>
#include <stdexcept>

namespace recops::emulation {

// A kernel did what is undefined on a GPU: a read out of bounds, a barrier that some threads never reach.
struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
void require(bool condition, const Parts&... message) {
  if (condition) [[likely]]
    return;
  std::ostringstream out;
  (out << ... << message);
  throw KernelError(out.str());
}

}  // namespace recops::emulation
