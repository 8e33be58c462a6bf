// Kernel bodies of memory networks, compiled once per instruction set. See kernel.h for what they compute.
#include "common/flush_subnormals.h"
#include "memory/hpmn-backward-inl.h"
#include "memory/mimn-backward-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

int64_t block_rows(Dtype dtype) {
  return with_compute_type(dtype, [](auto t) { return kUsers<decltype(t)>; });
}

template <class T>
int64_t place_mimn(const Mimn& mimn, bool backward, void* packed, bool pack) {
  Arena arena(packed);
  MimnNet<T> net(mimn, arena);
  if (pack) net.pack(const_cast<T*>(net.fixed.norms));
  if (backward) MimnBack<T>(net, arena, pack);
  return arena.used();
}

int64_t mimn_packed_bytes(const Mimn& mimn, bool backward) {
  return with_compute_type(mimn.dtype, [&](auto t) { return place_mimn<decltype(t)>(mimn, backward, nullptr, false); });
}

void mimn_pack(const Mimn& mimn, bool backward, void* packed) {
  with_compute_type(mimn.dtype, [&](auto t) { return place_mimn<decltype(t)>(mimn, backward, packed, true); });
}

int64_t mimn_scratch_bytes(const Mimn& mimn, bool backward, int64_t every) {
  return with_compute_type(mimn.dtype, [&](auto t) {
    using T = decltype(t);
    return backward ? MimnBackScan<T>(mimn, nullptr, nullptr, every).arena.used()
                    : MimnScan<T>(mimn, nullptr, nullptr).arena.used();
  });
}

void mimn_forward(const Mimn& mimn, const void* packed, const Block& block, void* scratch, const MimnForward& with) {
  with_stored_type(mimn.dtype, [&](auto s) { MimnScan<decltype(s)>(mimn, packed, scratch).run(block, with); });
}

template <class T, class F>
auto with_sums(const Mimn& mimn, void* sums, const F& f) {
  Arena packed(nullptr);
  MimnNet<T> net(mimn, packed);
  return f(net, MimnSums<T>(net, sums));
}

int64_t mimn_sum_values(const Mimn& mimn) {
  return with_compute_type(mimn.dtype, [&](auto t) {
    using T = decltype(t);
    return with_sums<T>(mimn, nullptr, [](const MimnNet<T>&, const MimnSums<T>& sums) { return sums.values; });
  });
}

void mimn_backward(const Mimn& mimn, const void* packed, const Block& block, void* scratch, const MimnBackward& from,
                   void* sums) {
  with_stored_type(mimn.dtype, [&](auto s) {
    using S = decltype(s);
    MimnBackScan<S> scan(mimn, packed, scratch, from.kept.every);
    scan.run(block, from, MimnSums<Compute<S>>(scan.net, sums));
  });
}

void mimn_unpack(const Mimn& mimn, const void* packed, const void* sums, const MimnGradients& to) {
  with_compute_type(mimn.dtype, [&](auto t) {
    using T = decltype(t);
    Arena arena(const_cast<void*>(packed));
    const MimnNet<T> net(mimn, arena);
    MimnSums<T>(net, const_cast<void*>(sums)).unpack(net, to);
  });
}

template <class T>
int64_t place_hpmn(const Hpmn& hpmn, void* packed, bool pack) {
  Arena arena(packed);
  place_backs<T>(HpmnNet<T>(hpmn), arena, nullptr, pack);
  return arena.used();
}

int64_t hpmn_packed_bytes(const Hpmn& hpmn) {
  return with_compute_type(hpmn.dtype, [&](auto t) { return place_hpmn<decltype(t)>(hpmn, nullptr, false); });
}

void hpmn_pack(const Hpmn& hpmn, void* packed) {
  with_compute_type(hpmn.dtype, [&](auto t) { return place_hpmn<decltype(t)>(hpmn, packed, true); });
}

int64_t hpmn_scratch_bytes(const Hpmn& hpmn, bool backward, int64_t every) {
  return with_compute_type(hpmn.dtype, [&](auto t) {
    using T = decltype(t);
    return backward ? HpmnBackScan<T>(hpmn, nullptr, nullptr, every).arena.used()
                    : HpmnScan<T>(hpmn, nullptr).arena.used();
  });
}

void hpmn_forward(const Hpmn& hpmn, const Block& block, void* scratch, const HpmnForward& with) {
  with_stored_type(hpmn.dtype, [&](auto s) { HpmnScan<decltype(s)>(hpmn, scratch).run(block, with); });
}

int64_t hpmn_sum_values(const Hpmn& hpmn) {
  return with_compute_type(hpmn.dtype, [&](auto t) {
    using T = decltype(t);
    const HpmnNet<T> net(hpmn);
    return HpmnSums<T>(net, nullptr).for_layers([](int64_t, const GruSums<T>&) {});
  });
}

void hpmn_backward(const Hpmn& hpmn, const void* packed, const Block& block, void* scratch, const HpmnBackward& from,
                   void* sums) {
  with_stored_type(hpmn.dtype, [&](auto s) {
    HpmnBackScan<decltype(s)>(hpmn, packed, scratch, from.kept.every).run(block, from, sums);
  });
}

void hpmn_unpack(const Hpmn& hpmn, const void* sums, const HpmnGradients& to) {
  with_compute_type(hpmn.dtype, [&](auto t) {
    using T = decltype(t);
    const HpmnNet<T> net(hpmn);
    HpmnSums<T>(net, const_cast<void*>(sums)).for_layers([&](int64_t j, const GruSums<T>& layer) {
      layer.unpack(net.layer(j), to.w_ih[j], static_cast<T*>(to.w_hh) + j * 3 * net.h * net.h,
                   static_cast<T*>(to.bias) + j * 3 * net.h);
    });
  });
}

void add_groups(Dtype dtype, void* sums, int64_t groups, int64_t values, int64_t begin, int64_t end) {
  with_compute_type(dtype, [&](auto t) {
    decltype(t)* const total = static_cast<decltype(t)*>(sums);
    for (int64_t g = 1; g < groups; ++g)
      for (int64_t i = begin; i < end; ++i) total[i] += total[g * values + i];
  });
}

}  // namespace

extern const Kernels kernels = {
    .block_rows = block_rows,
    .mimn_packed_bytes = mimn_packed_bytes,
    .mimn_pack = flushing<mimn_pack>,
    .mimn_scratch_bytes = mimn_scratch_bytes,
    .mimn_forward = flushing<mimn_forward>,
    .mimn_sum_values = mimn_sum_values,
    .mimn_backward = flushing<mimn_backward>,
    .mimn_unpack = flushing<mimn_unpack>,
    .hpmn_packed_bytes = hpmn_packed_bytes,
    .hpmn_pack = hpmn_pack,
    .hpmn_scratch_bytes = hpmn_scratch_bytes,
    .hpmn_forward = flushing<hpmn_forward>,
    .hpmn_sum_values = hpmn_sum_values,
    .hpmn_backward = flushing<hpmn_backward>,
    .hpmn_unpack = flushing<hpmn_unpack>,
    .add_groups = flushing<add_groups>,
};

}  // namespace recops::memory::RECOPS_ISA
