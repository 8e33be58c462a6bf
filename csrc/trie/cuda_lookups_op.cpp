// Lookups in a trie on the GPU: checks, memory and registration. An error in data makes the composite run, which raises
// it.
#include <optional>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "trie/arguments.h"
#include "trie/cuda_lookups.h"
#include "trie/cuda_tensors.h"

namespace recops::trie {
namespace {

// A Report in device memory.
class DeviceReport {
 public:
  explicit DeviceReport(const Tensor& like) : values_(zeros({kFields}, ScalarType::Long, like)) {}

  cuda::Report* data() const { return static_cast<cuda::Report*>(values_.data_ptr()); }

  // The host waits for the device.
  cuda::Report read() const {
    const std::vector<int64_t> values = read_values(values_);
    return {values[0], values[1]};
  }

 private:
  static constexpr int64_t kFields = sizeof(cuda::Report) / sizeof(int64_t);
  Tensor values_;
};

Tensor trie_find(Tensor first_child, Tensor tokens, int64_t depth, Tensor sids) {
  const char* op = "SidTrie.find";
  if (!has_code_for(device_of(sids).index))
    return std::get<0>(call_composite<Tensor>("trie_find", first_child, tokens, depth, sids));
  const DeviceGuard guard(sids);
  require_value(sids.dim() == 2 && sids.size(1) <= depth, op, ": sids must be [n, at most ", depth, "], got ",
                shape_of(sids));
  DeviceTensors tensors;
  const Tensor nodes = empty({sids.size(0)}, ScalarType::Int, sids);
  cuda::FindCall call{};
  call.trie = tensors.trie(op, first_child, tokens, depth);
  call.sids = tensors.contiguous_indices(op, "sids", sids);
  call.count = sids.size(0);
  call.length = sids.size(1);
  call.nodes = static_cast<int32_t*>(nodes.data_ptr());
  require_launched(op, cuda::find(call, current_stream(sids)));
  return nodes;
}

std::tuple<Tensor, Tensor> trie_items(Tensor first_child, Tensor tokens, int64_t depth, Tensor item_ids_in,
                                      Tensor nodes) {
  const char* op = "SidTrie.items";
  const auto composite = [&] {
    return call_composite<Tensor, Tensor>("trie_items", first_child, tokens, depth, item_ids_in, nodes);
  };
  if (!has_code_for(device_of(nodes).index) || nodes.numel() == 0) return composite();
  const DeviceGuard guard(nodes);
  require_dtype(op, "item_ids", item_ids_in, ScalarType::Long);
  const Tensor item_ids = recops::contiguous(item_ids_in);
  const int64_t count = nodes.numel();
  DeviceTensors tensors;
  const Tensor offsets = empty({count + 1}, ScalarType::Long, nodes);
  const Tensor workspace = empty({cuda::items_workspace_bytes(count)}, ScalarType::Byte, nodes);
  const DeviceReport report(nodes);
  cuda::ItemsCall call{};
  call.trie = tensors.trie(op, first_child, tokens, depth);
  call.depth = depth;
  call.num_items = item_ids.numel();
  call.nodes = tensors.contiguous_indices(op, "nodes", nodes);
  call.count = count;
  call.offsets = static_cast<int64_t*>(offsets.data_ptr());
  call.workspace = workspace.data_ptr();
  call.report = report.data();
  void* stream = current_stream(nodes);
  require_launched(op, cuda::find_items(call, stream));
  const cuda::Report result = report.read();
  if (result.is_wrong != 0) return composite();
  const Tensor items = empty({result.total}, ScalarType::Long, nodes);
  require_launched(op, cuda::gather_items(call, static_cast<const int64_t*>(item_ids.data_ptr()), result.total,
                                          static_cast<int64_t*>(items.data_ptr()), stream));
  return {offsets, items};
}

Tensor trie_allowed_tokens(Tensor first_child, Tensor tokens, int64_t depth, Tensor nodes, int64_t vocab_size) {
  const char* op = "SidTrie.allowed_tokens";
  const auto composite = [&] {
    return std::get<0>(call_composite<Tensor>("trie_allowed_tokens", first_child, tokens, depth, nodes, vocab_size));
  };
  if (!has_code_for(device_of(nodes).index) || nodes.numel() == 0) return composite();
  const DeviceGuard guard(nodes);
  require_value(vocab_size >= 0, op, ": vocab_size must be at least 0, got ", vocab_size);
  DeviceTensors tensors;
  const Tensor allowed = zeros({nodes.numel(), vocab_size}, ScalarType::Bool, nodes);
  const DeviceReport report(nodes);
  cuda::AllowedTokensCall call{};
  call.trie = tensors.trie(op, first_child, tokens, depth);
  call.nodes = tensors.contiguous_indices(op, "nodes", nodes);
  call.count = nodes.numel();
  call.vocab_size = vocab_size;
  call.allowed = static_cast<bool*>(allowed.data_ptr());
  call.report = report.data();
  require_launched(op, cuda::allowed_tokens(call, current_stream(nodes)));
  return report.read().is_wrong != 0 ? composite() : allowed;
}

// The ids of rows as the launchers take them.
cuda::RowsOfIds rows_of_ids(DeviceTensors& tensors, const Tensor& ids, const Tensor& offsets) {
  return {tensors.contiguous<int64_t>(ids), tensors.contiguous<int64_t>(offsets), ids.numel(), offsets.numel() - 1};
}

cuda::IndexedIds indexed_ids(const char* op, DeviceTensors& tensors, const Tensor& item_ids, const Tensor& id_order) {
  require_items(op, item_ids, "id_order", id_order);
  return {tensors.contiguous<int64_t>(item_ids), tensors.contiguous<int32_t>(id_order), item_ids.numel()};
}

Tensor trie_mask(Tensor item_ids, Tensor id_order, Tensor ids, Tensor offsets, bool keep, bool missing_ok) {
  const char* op = "SidTrie.mask";
  const auto composite = [&] {
    return std::get<0>(call_composite<Tensor>("trie_mask", item_ids, id_order, ids, offsets, keep, missing_ok));
  };
  if (!has_code_for(device_of(item_ids).index)) return composite();
  const DeviceGuard guard(item_ids);
  require_ragged(op, ids, offsets);
  DeviceTensors tensors;
  const Tensor words = empty({offsets.numel() - 1, (item_ids.numel() + 63) / 64}, ScalarType::Long, item_ids);
  const DeviceReport report(item_ids);
  const cuda::MaskCall call{indexed_ids(op, tensors, item_ids, id_order),
                            rows_of_ids(tensors, ids, offsets),
                            keep,
                            missing_ok,
                            words.data_ptr(),
                            report.data()};
  require_launched(op, cuda::mask_items(call, current_stream(item_ids)));
  return report.read().is_wrong != 0 ? composite() : words;
}

Tensor trie_bans(std::vector<Tensor> item_ids, std::vector<Tensor> id_order, std::optional<Tensor> trie_index,
                 Tensor ids, Tensor offsets) {
  const char* op = "item_bans";
  const auto composite = [&] {
    return std::get<0>(call_composite<Tensor>("trie_bans", item_ids, id_order, trie_index, ids, offsets));
  };
  const auto num_tries = static_cast<int64_t>(item_ids.size());
  if (!has_code_for(device_of(ids).index) || num_tries > cuda::kMostTries || offsets.numel() < 2) return composite();
  const DeviceGuard guard(ids);
  require_value(num_tries >= 1 && id_order.size() == item_ids.size(), op,
                ": item_ids and id_order must have an entry for each trie, got ", num_tries, " and ", id_order.size());
  require_ragged(op, ids, offsets);
  DeviceTensors tensors;
  cuda::BansCall call{};
  for (int64_t t = 0; t < num_tries; ++t) call.tries[t] = indexed_ids(op, tensors, item_ids[t], id_order[t]);
  call.num_tries = num_tries;
  call.ids = rows_of_ids(tensors, ids, offsets);
  if (trie_index) {
    require_numel(op, "trie_index", *trie_index, call.ids.rows);
    call.trie_index = tensors.contiguous_indices(op, "trie_index", *trie_index);
  }
  const Tensor positions = empty({ids.numel()}, ScalarType::Int, ids);
  const DeviceReport report(ids);
  call.positions = static_cast<int32_t*>(positions.data_ptr());
  call.report = report.data();
  require_launched(op, cuda::ban_items(call, current_stream(ids)));
  return report.read().is_wrong != 0 ? composite() : positions;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) {
  m.impl("trie_find", TORCH_BOX(&trie_find));
  m.impl("trie_items", TORCH_BOX(&trie_items));
  m.impl("trie_allowed_tokens", TORCH_BOX(&trie_allowed_tokens));
  m.impl("trie_mask", TORCH_BOX(&trie_mask));
  m.impl("trie_bans", TORCH_BOX(&trie_bans));
}

}  // namespace recops::trie
