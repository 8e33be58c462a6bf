// The ops of constrained beam search: schemas, checks on data, memory, threads. The arithmetic is in cpu-inl.h; the
// checks on dtype and shape that give a user's error are in recops/ops, here they only keep memory safe.
#include <algorithm>
#include <tuple>
#include <vector>

#include "compat.h"
#include "trie/kernel.h"
#include "trie/tensors.h"

namespace recops::trie {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;

// Logits to read for each thread to be worth waking.
constexpr int64_t kGrain = 64 << 10;

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

Normalize normalize_of(const std::string& name) {
  if (name == "vocab") return Normalize::vocab;
  if (name == "children") return Normalize::children;
  require_value(name == "none", "trie_beam_step: normalize must be 'vocab', 'children' or 'none', got '", name, "'");
  return Normalize::none;
}

// How much there is to do in each row, found while checking the beams.
struct Work {
  std::vector<int64_t> candidates;  // [batch]: children of the row's live beams
  int64_t max_children = 0;
  int64_t logits = 0;

  template <class T>
  Work(const BeamStep& step, const std::vector<int64_t>& vocab_sizes, int64_t batch, const T* scores)
      : candidates(batch) {
    for (int64_t at = 0; at < batch * step.width; ++at) {
      const int64_t node = step.nodes[at];
      if (node < 0) continue;
      require_value(scores[at] == scores[at], "trie_beam_step: scores[", at / step.width, ", ", at % step.width,
                    "] is NaN");
      const int64_t level = level_of(step.trie, node);
      if (level == step.trie.depth) continue;
      require_value(step.vocab >= vocab_sizes[level], "trie_beam_step: logits must cover the vocabulary of level ",
                    level, ", ", vocab_sizes[level], " tokens, got ", step.vocab);
      const Interval children = children_of(step.trie, node);
      const int64_t count = children.end - children.begin;
      candidates[at / step.width] += count;
      max_children = std::max(max_children, count);
      logits += count + (step.normalize == Normalize::vocab ? step.vocab : 0);
    }
  }
};

Outputs trie_beam_step(Tensor logits_in, Tensor first_child, Tensor tokens, Tensor stamp,
                       std::vector<int64_t> vocab_sizes, Tensor nodes_in, Tensor scores_in, int64_t num_beams,
                       std::string normalize, std::optional<Tensor> allowed, std::optional<Tensor> allowed_stamp) {
  const char* op = "trie_beam_step";
  const Kernels& kernels = select_kernels();
  const TrieTensors trie(op, first_child, tokens, static_cast<int64_t>(vocab_sizes.size()));
  require_value(logits_in.dim() == 3, op, ": logits must be [B, M, V]");
  const Tensor logits = logits_in.stride(2) == 1 || logits_in.size(2) <= 1 ? logits_in : recops::contiguous(logits_in);
  const Tensor scores = recops::contiguous(scores_in);
  const int64_t batch = logits.size(0), width = logits.size(1);
  const bool is_double = logits.scalar_type() == ScalarType::Double;
  require_value(scores.numel() == batch * width && nodes_in.numel() == batch * width &&
                    scores.scalar_type() == (is_double ? ScalarType::Double : ScalarType::Float),
                op, ": nodes and scores must be [B, M], scores of the type that logits are computed with");
  require_value(num_beams >= 1, op, ": num_beams must be at least 1, got ", num_beams);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, trie.view);
  const MaskTensors mask(op, allowed, allowed_stamp, stamp, batch, trie.num_items);

  const BeamStep step{trie.view,        logits.data_ptr(),       dtype_of("trie_beam_step", "logits", logits),
                      logits.stride(0), logits.stride(1),        logits.size(2),
                      nodes.data(),     scores.data_ptr(),       width,
                      num_beams,        normalize_of(normalize), mask.bits,
                      mask.stride};
  const Work work = is_double ? Work(step, vocab_sizes, batch, static_cast<const double*>(scores.data_ptr()))
                              : Work(step, vocab_sizes, batch, static_cast<const float*>(scores.data_ptr()));

  // Chunks of beams so that every thread has one, and places for the best `keep` of each.
  const int64_t threads = std::max<int64_t>(1, std::min(num_threads(), work.logits / kGrain));
  const int64_t chunks =
      batch == 0 ? 1 : std::clamp<int64_t>((threads + batch - 1) / batch, 1, std::max<int64_t>(width, 1));
  const int64_t most = batch == 0 ? 0 : *std::max_element(work.candidates.begin(), work.candidates.end());
  const int64_t keep = std::max<int64_t>(1, std::min(num_beams, most));
  const int64_t pool_bytes = keep * kernels.candidate_bytes(step.dtype);
  const int64_t scratch_bytes = kernels.scratch_bytes(step, work.max_children);
  const Tensor pools = empty({batch * chunks, pool_bytes}, ScalarType::Byte, logits);
  const Tensor scratch = empty({batch * chunks, scratch_bytes}, ScalarType::Byte, logits);
  const auto at = [](const Tensor& bytes, int64_t row) {
    return static_cast<char*>(bytes.data_ptr()) + row * bytes.size(1);
  };

  std::vector<int64_t> counts(batch * chunks);
  const int64_t grain = threads == 1 ? batch * chunks : 1;
  parallel_for(batch * chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i % chunks;
      counts[i] = kernels.scan(step, i / chunks, width * chunk / chunks, width * (chunk + 1) / chunks, keep,
                               at(pools, i), at(scratch, i));
    }
  });
  for (int64_t i = 0; i < batch * chunks; ++i)
    require_value(counts[i] >= 0, op, ": logits[", i / chunks, ", ", -1 - counts[i], "] hold NaN or +inf");

  const Tensor new_scores = empty({batch, num_beams}, scores.scalar_type(), logits);
  const auto indices = [&] { return empty({batch, num_beams}, ScalarType::Int, logits); };
  const Tensor new_tokens = indices(), parents = indices(), new_nodes = indices();
  const BeamOutputs out{new_scores.data_ptr(), static_cast<int32_t*>(new_tokens.data_ptr()),
                        static_cast<int32_t*>(parents.data_ptr()), static_cast<int32_t*>(new_nodes.data_ptr())};
  parallel_for(batch, threads == 1 ? batch : 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      kernels.merge(step, row, keep, &counts[row * chunks], chunks, at(pools, row * chunks), out);
  });
  return {new_scores, new_tokens, parents, new_nodes};
}

std::tuple<Tensor, Tensor> trie_beam_items(Tensor first_child, Tensor tokens, Tensor stamp, Tensor item_ids_in,
                                           Tensor item_rows_in, int64_t depth, Tensor nodes_in,
                                           std::optional<Tensor> allowed, std::optional<Tensor> allowed_stamp,
                                           std::optional<Tensor> item_prior, int64_t num_beams) {
  const char* op = "constrained_beam_search";
  const TrieTensors trie(op, first_child, tokens, depth);
  const Tensor item_ids = recops::contiguous(item_ids_in), item_rows = recops::contiguous(item_rows_in);
  require_value(nodes_in.dim() == 2 && item_ids.numel() == trie.num_items && item_rows.numel() == trie.num_items, op,
                ": nodes must be [B, M], item_ids and item_rows [num_items]");
  const int64_t batch = nodes_in.size(0), width = nodes_in.size(1);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, trie.view);
  const MaskTensors mask(op, allowed, allowed_stamp, stamp, batch, trie.num_items);

  int64_t most = 0;
  for (int32_t node : nodes) {
    if (node < 0) continue;
    require_value(node >= trie.level_starts[depth], op, ": node ", node, " is no leaf");
    most = std::max<int64_t>(most, trie.view.first_child[node + 1] - trie.view.first_child[node]);
  }
  Tensor prior;
  const float* prior_f32 = nullptr;
  const double* prior_f64 = nullptr;
  if (item_prior.has_value()) {
    prior = recops::contiguous(*item_prior);
    const bool is_double = prior.scalar_type() == ScalarType::Double;
    require_value(prior.numel() == trie.num_items && (is_double || prior.scalar_type() == ScalarType::Float), op,
                  ": item_prior must be float32 or float64 [num_items]");
    (is_double ? static_cast<void>(prior_f64 = static_cast<const double*>(prior.data_ptr()))
               : static_cast<void>(prior_f32 = static_cast<const float*>(prior.data_ptr())));
  }

  const Tensor ids = empty({batch, num_beams}, ScalarType::Long, nodes_in);
  const Tensor beams = empty({batch, num_beams}, ScalarType::Int, nodes_in);
  auto* id = static_cast<int64_t*>(ids.data_ptr());
  auto* beam = static_cast<int32_t*>(beams.data_ptr());
  const auto* rows = static_cast<const int32_t*>(item_rows.data_ptr());
  std::vector<int64_t> scratch(most);
  for (int64_t b = 0; b < batch; ++b) {
    const auto expand = [&](const auto* values) {
      items_of_leaves(trie.view, nodes.data() + b * width, width, mask.bits ? mask.bits + b * mask.stride : nullptr,
                      values, rows, num_beams, id + b * num_beams, beam + b * num_beams, scratch.data());
    };
    prior_f64 != nullptr ? expand(prior_f64) : expand(prior_f32);
  }
  const auto* all_ids = static_cast<const int64_t*>(item_ids.data_ptr());
  for (int64_t i = 0; i < batch * num_beams; ++i)
    if (id[i] >= 0) id[i] = all_ids[id[i]];
  return {ids, beams};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "trie_beam_step(Tensor logits, Tensor first_child, Tensor tokens, Tensor stamp, int[] vocab_sizes, Tensor nodes, "
      "Tensor scores, SymInt num_beams, str normalize, Tensor? allowed, Tensor? allowed_stamp) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "trie_beam_items(Tensor first_child, Tensor tokens, Tensor stamp, Tensor item_ids, Tensor item_rows, int depth, "
      "Tensor nodes, Tensor? allowed, Tensor? allowed_stamp, Tensor? item_prior, SymInt num_beams) -> (Tensor, "
      "Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("trie_beam_step", TORCH_BOX(&trie_beam_step));
  m.impl("trie_beam_items", TORCH_BOX(&trie_beam_items));
}

}  // namespace recops::trie
