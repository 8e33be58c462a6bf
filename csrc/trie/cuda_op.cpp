// Trie ops on the GPU: checks, memory and registration. cuda.h has the kernels' contract, and what they do about errors
// in data, which the host does not read. Inputs beyond the kernels' limits use the composites.
#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "trie/arguments.h"
#include "trie/cuda.h"
#include "trie/cuda_tensors.h"

namespace recops::trie {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;

// Sets the tries and filters of a batch, with a row for each of `nodes`. `tries`: first_child, tokens and stamp of
// each.
void set_batch(const char* op, cuda::Batch& call, DeviceTensors& tensors, const std::vector<Tensor>& tries,
               int64_t depth, const Tensor& nodes, const std::optional<Tensor>& trie_index, const MaybeTensors& allowed,
               const MaybeTensors& bans) {
  require_tries(op, tries);
  call.batch = nodes.size(0);
  call.depth = depth;
  call.num_tries = static_cast<int64_t>(tries.size() / kPerTrie);
  if (trie_index) {
    require_numel(op, "trie_index", *trie_index, call.batch);
    call.trie_index = tensors.contiguous_indices(op, "trie_index", *trie_index);
  }
  const std::vector<Tensor> masks = resolved(op, "allowed", allowed, nodes);
  if (allowed) require_masks(op, masks, call.num_tries);
  for (int64_t t = 0; t < call.num_tries; ++t) {
    const Tensor* trie = &tries[t * kPerTrie];
    call.tries[t] = tensors.trie(op, trie[0], trie[1], trie[2], depth);
    if (!masks.empty()) tensors.add_mask(op, masks[2 * t], masks[2 * t + 1], call.batch, call.tries[t]);
  }
  if (const std::vector<Tensor> banned = resolved(op, "banned", bans, nodes); !banned.empty()) {
    require_bans(op, banned, call.num_tries, call.batch);
    call.bans = {tensors.contiguous<int32_t>(banned[0]), banned[0].numel(), tensors.contiguous<int64_t>(banned[1]),
                 tensors.contiguous<int64_t>(banned[2])};
  }
}

Outputs trie_beam_step(Tensor logits_in, Tensor first_child, Tensor tokens, Tensor stamp, int64_t depth, Tensor nodes,
                       Tensor scores, int64_t num_beams, Text normalize,
                       std::optional<std::vector<int64_t>> vocab_sizes, std::optional<Tensor> trie_index,
                       MaybeTensors more_tries, MaybeTensors allowed, MaybeTensors bans) {
  const char* op = "trie_beam_step";
  require_logits(op, logits_in, nodes);
  const int64_t batch = logits_in.size(0), beams = logits_in.size(1), vocab = logits_in.size(2);
  const Dtype dtype = dtype_of(op, "logits", logits_in);
  const int64_t num_tries = 1 + (more_tries ? static_cast<int64_t>(more_tries->size()) / kPerTrie : 0);
  if (!has_code_for(device_of(logits_in).index) ||
      !cuda::supports_beam_step(dtype, batch, beams, vocab, num_beams, num_tries))
    return call_composite<Tensor, Tensor, Tensor, Tensor>(op, logits_in, first_child, tokens, stamp, depth, nodes,
                                                          scores, num_beams, normalize, vocab_sizes, trie_index,
                                                          more_tries, allowed, bans);
  const DeviceGuard guard(logits_in);
  require_beams(op, nodes, scores, ScalarType::Float, num_beams);
  require_level_sizes(op, vocab_sizes, num_tries, depth);
  const Tensor logits = logits_in.stride(2) == 1 || vocab <= 1 ? logits_in : recops::contiguous(logits_in);
  DeviceTensors tensors;
  cuda::BeamStepCall call{};
  call.dtype = dtype;
  call.normalize = normalize_of(op, normalize);
  call.beams = beams;
  call.vocab = vocab;
  call.num_beams = num_beams;
  call.logits = logits.data_ptr();
  call.row_stride = logits.stride(0);
  call.beam_stride = logits.stride(1);
  call.nodes = tensors.contiguous_indices(op, "nodes", nodes);
  call.scores = tensors.contiguous<float>(scores);
  const std::vector<Tensor> tries = joined({first_child, tokens, stamp}, resolved(op, "trie", more_tries, logits_in));
  set_batch(op, call, tensors, tries, depth, nodes, trie_index, allowed, bans);

  const Tensor new_scores = empty({batch, num_beams}, ScalarType::Float, logits);
  const auto output = [&] { return empty({batch, num_beams}, ScalarType::Int, logits); };
  const Tensor new_tokens = output(), parents = output(), new_nodes = output();
  call.new_scores = static_cast<float*>(new_scores.data_ptr());
  call.new_tokens = static_cast<int32_t*>(new_tokens.data_ptr());
  call.parents = static_cast<int32_t*>(parents.data_ptr());
  call.new_nodes = static_cast<int32_t*>(new_nodes.data_ptr());
  const Tensor workspace =
      empty({cuda::beam_step_workspace_bytes(batch, beams, vocab, num_beams)}, ScalarType::Byte, logits);
  require_launched(op, cuda::beam_step(call, workspace.data_ptr(), current_stream(logits)));
  return {new_scores, new_tokens, parents, new_nodes};
}

std::tuple<Tensor, Tensor, Tensor> trie_beam_items(Tensor first_child, Tensor tokens, Tensor stamp, Tensor item_ids,
                                                   Tensor item_rows, int64_t depth, Tensor nodes, Tensor scores,
                                                   int64_t num_beams, std::optional<Tensor> trie_index,
                                                   MaybeTensors more_tries, MaybeTensors more_items,
                                                   MaybeTensors allowed, MaybeTensors bans, MaybeTensors item_priors) {
  const char* op = "constrained_beam_search";
  require_dim(op, "nodes", nodes, 2);
  const int64_t batch = nodes.size(0), beams = nodes.size(1);
  const std::vector<Tensor> tries = joined({first_child, tokens, stamp}, resolved(op, "trie", more_tries, nodes));
  const std::vector<Tensor> items = joined({item_ids, item_rows}, resolved(op, "items", more_items, nodes));
  const std::vector<Tensor> priors = resolved(op, "item_prior", item_priors, nodes);
  const auto num_tries = static_cast<int64_t>(tries.size() / kPerTrie);
  const bool is_double = scores.scalar_type() == ScalarType::Double ||
                         std::any_of(priors.begin(), priors.end(),
                                     [](const Tensor& prior) { return prior.scalar_type() == ScalarType::Double; });
  if (is_double || !has_code_for(device_of(nodes).index) ||
      !cuda::supports_beam_items(batch, beams, num_beams, num_tries))
    return call_composite<Tensor, Tensor, Tensor>("trie_beam_items", first_child, tokens, stamp, item_ids, item_rows,
                                                  depth, nodes, scores, num_beams, trie_index, more_tries, more_items,
                                                  allowed, bans, item_priors);
  const DeviceGuard guard(nodes);
  require_beams(op, nodes, scores, ScalarType::Float, num_beams);
  const auto count = static_cast<size_t>(num_tries);
  require_value(items.size() == 2 * count && (!item_priors || priors.size() == count), op,
                ": item_ids, item_rows and item_prior must have an entry for each of ", count, " tries, got ",
                items.size(), " and ", priors.size(), " tensors");
  DeviceTensors tensors;
  cuda::BeamItemsCall call{};
  set_batch(op, call, tensors, tries, depth, nodes, trie_index, allowed, bans);
  call.beams = beams;
  call.num_beams = num_beams;
  call.nodes = tensors.contiguous_indices(op, "nodes", nodes);
  call.scores = tensors.contiguous<float>(scores);
  call.has_priors = item_priors.has_value();
  for (size_t t = 0; t < count; ++t) {
    require_items(op, items[2 * t], "item_rows", items[2 * t + 1]);
    cuda::ItemArrays& of_trie = call.items[t];
    of_trie = {tensors.contiguous<int64_t>(items[2 * t]), tensors.contiguous<int32_t>(items[2 * t + 1]), nullptr,
               items[2 * t].numel()};
    if (!item_priors) continue;
    require_prior(op, priors[t], of_trie.num_items);
    of_trie.priors = tensors.contiguous<float>(priors[t]);
  }
  const Tensor ids = empty({batch, num_beams}, ScalarType::Long, nodes);
  const Tensor sids = empty({batch, num_beams, depth}, ScalarType::Int, nodes);
  const Tensor new_scores = empty({batch, num_beams}, ScalarType::Float, nodes);
  call.item_ids = static_cast<int64_t*>(ids.data_ptr());
  call.sids = static_cast<int32_t*>(sids.data_ptr());
  call.new_scores = static_cast<float*>(new_scores.data_ptr());
  const Tensor workspace = empty({cuda::beam_items_workspace_bytes(batch, num_beams)}, ScalarType::Byte, nodes);
  require_launched(op, cuda::beam_items(call, workspace.data_ptr(), current_stream(nodes)));
  return {ids, sids, new_scores};
}

// Arguments of next logits, apart from the logits.
struct NextLogits {
  Tensor sequences;
  int64_t prompt_length, begin_token;
  std::vector<Tensor> trie;
  std::vector<int64_t> vocab_sizes;
  Tensor model_tokens, trie_tokens;
  std::vector<int64_t> end_tokens;
  std::vector<Tensor> allowed;

  // Returns the result of the composite `op`.
  template <class... Results>
  std::tuple<Results...> composite(const char* op, const Tensor& logits) const {
    return call_composite<Results...>(op, logits, sequences, prompt_length, begin_token, trie, vocab_sizes,
                                      model_tokens, trie_tokens, end_tokens, allowed);
  }

  bool has_kernel(const Tensor& logits) const {
    return has_code_for(device_of(logits).index) &&
           cuda::supports_next_logits(logits.size(0), logits.size(1), static_cast<int64_t>(vocab_sizes.size()),
                                      static_cast<int64_t>(end_tokens.size()));
  }

  // Contiguous logits, which may be `out`.
  void run(const Tensor& logits, const Tensor& out) const {
    const DeviceGuard guard(logits);
    const int64_t rows = logits.size(0), vocab = logits.size(1), depth = static_cast<int64_t>(vocab_sizes.size());
    require_token_map(kOp, model_tokens, trie_tokens, require_vocab_sizes(kOp, vocab_sizes, INT32_MAX), depth, vocab);
    require_end_tokens(kOp, end_tokens, vocab);
    require_tries(kOp, trie);
    const int64_t num_masks = count_masks(kOp, allowed, rows);
    if (!allowed.empty()) require_masks(kOp, allowed, 1);
    DeviceTensors tensors;
    cuda::NextLogitsCall call{};
    call.dtype = dtype_of(kOp, "scores", logits);
    call.rows = rows;
    call.vocab = vocab;
    call.length = sequences.size(1);
    call.logits = logits.data_ptr();
    call.out = out.data_ptr();
    call.sequences = tensors.contiguous<int64_t>(sequences);
    call.prompt_length = prompt_length;
    call.begin_token = begin_token;
    call.trie = tensors.trie(kOp, trie[0], trie[1], trie[2], depth);
    if (!allowed.empty()) tensors.add_mask(kOp, allowed[0], allowed[1], num_masks, call.trie);
    call.num_masks = num_masks;
    call.rows_per_mask = std::max<int64_t>(1, num_masks > 0 ? rows / num_masks : 1);
    call.depth = depth;
    for (int64_t level = 0; level < depth; ++level)
      call.level_begins[level + 1] = call.level_begins[level] + vocab_sizes[level];
    call.model_tokens = tensors.contiguous<int32_t>(model_tokens);
    call.trie_tokens = tensors.contiguous<int32_t>(trie_tokens);
    call.width = trie_tokens.size(1);
    std::copy(end_tokens.begin(), end_tokens.end(), call.end_tokens);
    call.num_end_tokens = static_cast<int64_t>(end_tokens.size());
    require_launched(kOp, cuda::next_logits(call, current_stream(logits)));
  }

  static constexpr const char* kOp = "SidTrieLogitsProcessor";
};

Tensor trie_next_logits(Tensor logits_in, Tensor sequences, int64_t prompt_length, int64_t begin_token,
                        std::vector<Tensor> trie, std::vector<int64_t> vocab_sizes, Tensor model_tokens,
                        Tensor trie_tokens, std::vector<int64_t> end_tokens, std::vector<Tensor> allowed) {
  const NextLogits call{sequences,    prompt_length, begin_token, trie,   vocab_sizes,
                        model_tokens, trie_tokens,   end_tokens,  allowed};
  require_sequences(NextLogits::kOp, logits_in, sequences, prompt_length);
  if (!call.has_kernel(logits_in)) return std::get<0>(call.composite<Tensor>("trie_next_logits", logits_in));
  const Tensor logits = recops::contiguous(logits_in);
  const Tensor out = empty({logits.size(0), logits.size(1)}, logits.scalar_type(), logits);
  call.run(logits, out);
  return out;
}

void trie_next_logits_(Tensor logits, Tensor sequences, int64_t prompt_length, int64_t begin_token,
                       std::vector<Tensor> trie, std::vector<int64_t> vocab_sizes, Tensor model_tokens,
                       Tensor trie_tokens, std::vector<int64_t> end_tokens, std::vector<Tensor> allowed) {
  const NextLogits call{sequences,    prompt_length, begin_token, trie,   vocab_sizes,
                        model_tokens, trie_tokens,   end_tokens,  allowed};
  require_sequences(NextLogits::kOp, logits, sequences, prompt_length);
  if (!call.has_kernel(logits)) {
    call.composite<>("trie_next_logits_", logits);
  } else if (logits.is_contiguous()) {
    call.run(logits, logits);
  } else {
    const Tensor copy = recops::contiguous(logits);
    call.run(copy, copy);
    assign(logits, copy);
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) {
  m.impl("trie_beam_step", TORCH_BOX(&trie_beam_step));
  m.impl("trie_beam_items", TORCH_BOX(&trie_beam_items));
  m.impl("trie_next_logits", TORCH_BOX(&trie_next_logits));
  m.impl("trie_next_logits_", TORCH_BOX(&trie_next_logits_));
}

}  // namespace recops::trie
