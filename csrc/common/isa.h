// The instruction set a kernel runs on, chosen once per call.
//
// A family's kernel body (cpu-inl.h) is compiled once per level, each into a namespace of its own (RECOPS_ISA), and
// ends in one table of function pointers; the op picks the table:
//
//   const Kernels& kernels = select_isa(base::kernels, avx2::kernels, avx512::kernels);
//
// Objects of different levels must share no weak symbol: the linker keeps one copy of such a symbol, and if that is the
// AVX-512 one, the base path dies on an older machine. So a kernel body keeps everything in an anonymous namespace and
// instantiates no standard container (CI looks at the objects with nm).
#pragma once

namespace recops {

enum class Isa { base, avx2, avx512 };

// The best level of this machine, or the one RECOPS_ISA names (base, avx2, avx512). Throws std::invalid_argument where
// RECOPS_ISA is no level or one this machine lacks. Read once per process.
Isa cpu_isa();
const char* isa_name(Isa isa);

// AVX-512's dot products of small integers, which no level implies.
bool cpu_has_vnni();

#if defined(__x86_64__)
#define RECOPS_DECLARE_KERNELS(Table)            \
  namespace base { extern const Table kernels; } \
  namespace avx2 { extern const Table kernels; } \
  namespace avx512 { extern const Table kernels; }
#define RECOPS_SELECT_KERNELS() ::recops::select_isa(base::kernels, avx2::kernels, avx512::kernels)

template <class Table>
const Table& select_isa(const Table& base, const Table& avx2, const Table& avx512) {
  switch (cpu_isa()) {
    case Isa::avx512: return avx512;
    case Isa::avx2: return avx2;
    default: return base;
  }
}
#else
#define RECOPS_DECLARE_KERNELS(Table) \
  namespace base { extern const Table kernels; }
#define RECOPS_SELECT_KERNELS() (base::kernels)
#endif

}  // namespace recops
