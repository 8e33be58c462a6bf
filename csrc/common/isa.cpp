#include "common/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace recops {
namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // x86-64-v4 and x86-64-v3, in the naming of the compiler's -march.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    return Isa::avx2;
#endif
  return Isa::base;
}

Isa choose() {
  const Isa best = detect();
  const char* wanted = std::getenv("RECOPS_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  for (Isa isa : {Isa::base, Isa::avx2, Isa::avx512}) {
    if (std::string(wanted) != isa_name(isa)) continue;
    if (isa > best)
      throw std::invalid_argument(std::string("recops: RECOPS_ISA=") + wanted + ", but this CPU offers " +
                                  isa_name(best) + " at most");
    return isa;
  }
  throw std::invalid_argument(std::string("recops: RECOPS_ISA=") + wanted + " is not one of base, avx2, avx512");
}

}  // namespace

Isa cpu_isa() {
  static const Isa chosen = choose();
  return chosen;
}

bool cpu_has_vnni() {
#if defined(__x86_64__)
  static const bool found = (__builtin_cpu_init(), __builtin_cpu_supports("avx512vnni") != 0);
  return found;
#else
  return false;
#endif
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512: return "avx512";
    case Isa::avx2: return "avx2";
    default: return "base";
  }
}

}  // namespace recops
