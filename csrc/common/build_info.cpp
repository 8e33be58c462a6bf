// Build properties of this binary, for recops.build_info() and recops.cpu_isa().
#include "common/compat.h"
#include "common/isa.h"

namespace recops {
namespace {

#if defined(__clang__)
constexpr const char* compiler = "Clang " __clang_version__;
#else
constexpr const char* compiler = "GCC " __VERSION__;
#endif

std::string version() { return RECOPS_VERSION; }
std::string compiler_name() { return compiler; }
std::string torch_target() {
  constexpr uint64_t target = TORCH_TARGET_VERSION;
  return concat((target >> 56) & 0xff, ".", (target >> 48) & 0xff);
}
std::string current_isa() { return isa_name(cpu_isa()); }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def("version() -> str");
  m.def("compiler() -> str");
  m.def("torch_target() -> str");
  m.def("cpu_isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CompositeExplicitAutograd, m) {
  m.impl("version", TORCH_BOX(&version));
  m.impl("compiler", TORCH_BOX(&compiler_name));
  m.impl("torch_target", TORCH_BOX(&torch_target));
  m.impl("cpu_isa", TORCH_BOX(&current_isa));
}

}  // namespace recops
