// Construction of a trie on the GPU: checks, memory and registration. An error in data makes the composite run, which
// raises it.
#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "trie/arguments.h"
#include "trie/cuda_build.h"
#include "trie/cuda_tensors.h"

namespace recops::trie {
namespace {

using TrieOutputs = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

cuda::BuildReport read_report(const Tensor& values) {
  const std::vector<int64_t> words = read_values(values);
  cuda::BuildReport report;
  std::memcpy(&report, words.data(), sizeof(report));
  return report;
}

TrieOutputs trie_build(Tensor sids, Tensor ids, std::vector<int64_t> vocab_sizes) {
  const char* op = "SidTrie.from_sids";
  const auto composite = [&] {
    return call_composite<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>("trie_build", sids, ids, vocab_sizes);
  };
  const int64_t depth = static_cast<int64_t>(vocab_sizes.size()), count = ids.numel();
  if (!has_code_for(device_of(sids).index) || depth < 1 || depth > cuda::kMostBuildLevels || count < 1 ||
      count > INT32_MAX)
    return composite();
  const DeviceGuard guard(sids);
  require_dtype(op, "item_ids", ids, ScalarType::Long);
  require_shape(op, "sids", sids, {count, depth});
  require_vocab_sizes(op, vocab_sizes, INT32_MAX);
  DeviceTensors tensors;
  const Tensor workspace = empty({cuda::build_workspace_bytes(count, depth)}, ScalarType::Byte, sids);
  const Tensor values = zeros({int64_t{sizeof(cuda::BuildReport) / sizeof(int64_t)}}, ScalarType::Long, sids);
  cuda::BuildCall call{};
  call.sids = tensors.contiguous_indices(op, "sids", sids);
  call.item_ids = tensors.contiguous<int64_t>(ids);
  call.count = count;
  call.depth = depth;
  call.vocab_sizes = vocab_sizes.data();
  call.workspace = workspace.data_ptr();
  call.report = static_cast<cuda::BuildReport*>(values.data_ptr());
  void* stream = current_stream(sids);
  require_launched(op, cuda::sort_sids(call, stream));
  const cuda::BuildReport report = read_report(values);
  if (report.is_wrong != 0) return composite();
  int64_t num_nodes = 1;
  for (int64_t level = 0; level < depth; ++level) num_nodes += report.level_nodes[level];
  require_value(num_nodes + count <= INT32_MAX, op, ": nodes and items together pass 2^31 − 1");

  const bool is_wide = *std::max_element(vocab_sizes.begin(), vocab_sizes.end()) > 65536;
  const Tensor first_child = empty({num_nodes + 1}, ScalarType::Int, sids);
  const Tensor tokens = empty({num_nodes}, is_wide ? ScalarType::Int : ScalarType::UInt16, sids);
  const Tensor item_ids = empty({count}, ScalarType::Long, sids), item_rows = empty({count}, ScalarType::Int, sids);
  const Tensor id_order = empty({count}, ScalarType::Int, sids), stamp = empty({}, ScalarType::Long, sids);
  cuda::BuildOutputs outputs{};
  outputs.first_child = static_cast<int32_t*>(first_child.data_ptr());
  outputs.tokens = tokens.data_ptr();
  outputs.wide_tokens = is_wide;
  outputs.item_ids = static_cast<int64_t*>(item_ids.data_ptr());
  outputs.item_rows = static_cast<int32_t*>(item_rows.data_ptr());
  outputs.id_order = static_cast<int32_t*>(id_order.data_ptr());
  outputs.stamp = static_cast<int64_t*>(stamp.data_ptr());
  require_launched(op, cuda::write_nodes(call, report, outputs, stream));
  if (report.descends != 0) {
    require_launched(op, cuda::index_ids(call, report, outputs, stream));
    if (read_report(values).is_wrong != 0) return composite();
  }
  return {first_child, tokens, item_ids, item_rows, id_order, stamp};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) { m.impl("trie_build", TORCH_BOX(&trie_build)); }

}  // namespace recops::trie
