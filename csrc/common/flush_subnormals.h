// Kernels that treat subnormal numbers as zero, in any floating-point mode of the caller.
//
// A gradient that decays over time becomes subnormal, and arithmetic on subnormals takes many times longer on most
// processors. In an anonymous namespace, as kernels include it (common/isa.h).
#pragma once

#include <cstdint>
#include <type_traits>

namespace recops {
namespace {

// The control register of floating-point arithmetic, one per thread. The "memory" clobber keeps loads and stores on
// their side of a change.
#if defined(__x86_64__)
using FloatMode = uint32_t;                     // MXCSR
constexpr FloatMode kFlushSubnormals = 0x8040;  // FTZ for results, DAZ for operands
inline FloatMode float_mode() {
  FloatMode mode;
  asm volatile("stmxcsr %0" : "=m"(mode) : : "memory");
  return mode;
}
inline void set_float_mode(FloatMode mode) { asm volatile("ldmxcsr %0" : : "m"(mode) : "memory"); }
#elif defined(__aarch64__)
using FloatMode = uint64_t;                                // FPCR
constexpr FloatMode kFlushSubnormals = uint64_t{1} << 24;  // FZ, for results and operands
inline FloatMode float_mode() {
  FloatMode mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
  return mode;
}
inline void set_float_mode(FloatMode mode) { asm volatile("msr fpcr, %0" : : "r"(mode) : "memory"); }
#else
using FloatMode = uint32_t;
constexpr FloatMode kFlushSubnormals = 0;
inline FloatMode float_mode() { return 0; }
inline void set_float_mode(FloatMode) {}
#endif

inline bool flushes_subnormals() { return (float_mode() & kFlushSubnormals) == kFlushSubnormals; }
inline void set_flush_subnormals(bool flush) {
  const FloatMode others = float_mode() & ~kFlushSubnormals;
  set_float_mode(flush ? others | kFlushSubnormals : others);
}

template <auto kernel>
struct Flushing;
template <class R, class... Args, R (*kernel)(Args...)>
struct Flushing<kernel> {
  static R run(Args... args) {
    R (*call)(Args...) = kernel;
    asm volatile("" : "+r"(call));  // No inlining: the compiler may move arithmetic across a change of mode.
    const FloatMode before = float_mode();
    set_float_mode(before | kFlushSubnormals);
    // Kernels throw nothing. A destructor would link them to the exception runtime.
    if constexpr (std::is_void_v<R>) {
      call(args...);
      set_float_mode(before);
    } else {
      const R result = call(args...);
      set_float_mode(before);
      return result;
    }
  }
};

// The function `kernel`, with subnormals flushed while it runs.
template <auto kernel>
constexpr auto flushing = &Flushing<kernel>::run;

}  // namespace
}  // namespace recops
