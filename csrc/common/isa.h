// Instruction sets of kernels, selected at run time.
//
// A family's kernel body (cpu-inl.h) is compiled once per level into a separate namespace (RECOPS_ISA) and defines one
// table of function pointers. The op selects the table:
//
//   const Kernels& kernels = select_isa(base::kernels, avx2::kernels, avx512::kernels);
//
// Objects of different levels must not share weak symbols. The linker keeps one copy of such a symbol, and if that is
// the AVX-512 copy, the base path crashes on an older machine. Kernel bodies therefore keep everything in an anonymous
// namespace and do not instantiate standard containers (CI checks the objects with nm).
#pragma once

namespace recops {

enum class Isa { base, avx2, avx512 };

// The best level of this machine, or the level that RECOPS_ISA names (base, avx2, avx512). Throws std::invalid_argument
// if RECOPS_ISA is not a level or if the machine lacks it. The variable is read once per process.
Isa cpu_isa();
const char* isa_name(Isa isa);

// AVX-512 VNNI: dot products of small integers. No level implies it.
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
