// Constrained beam search ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the
// checks of dtype and shape.
#include <algorithm>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "trie/arguments.h"
#include "trie/batch.h"
#include "trie/kernel.h"
#include "trie/lookup.h"
#include "trie/rows.h"

namespace recops::trie {
namespace {

using Outputs = std::tuple<Tensor, Tensor, Tensor, Tensor>;
// Least number of logits to read per thread.
constexpr int64_t kGrain = 64 << 10;

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

Outputs trie_beam_step(Tensor logits_in, Tensor first_child, Tensor tokens, Tensor stamp, int64_t depth,
                       Tensor nodes_in, Tensor scores_in, int64_t num_beams, Text normalize,
                       std::optional<std::vector<int64_t>> vocab_sizes, std::optional<Tensor> trie_index,
                       MaybeTensors more_tries, MaybeTensors allowed, MaybeTensors bans) {
  const char* op = "trie_beam_step";
  const Kernels& kernels = select_kernels();
  require_logits(op, logits_in, nodes_in);
  const Tensor logits = logits_in.stride(2) == 1 || logits_in.size(2) <= 1 ? logits_in : recops::contiguous(logits_in);
  const Tensor scores = recops::contiguous(scores_in);
  const int64_t batch = logits.size(0), width = logits.size(1);
  const bool is_double = logits.scalar_type() == ScalarType::Double;
  require_beams(op, nodes_in, scores, is_double ? ScalarType::Double : ScalarType::Float, num_beams);
  const Tries tries(op, joined({first_child, tokens, stamp}, resolved(op, "trie", more_tries, nodes_in)), depth,
                    trie_index, batch);
  require_level_sizes(op, vocab_sizes, tries.size(), depth);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, tries);
  const Filters filters(op, tries, resolved(op, "allowed", allowed, nodes_in), resolved(op, "banned", bans, nodes_in),
                        batch);

  const BeamStep step{dtype_of(op, "logits", logits), logits.stride(1), logits.size(2), num_beams,
                      normalize_of(op, normalize)};
  const auto rows_of = [&](const auto* values) {
    return Rows(step, logits, tries, vocab_sizes ? vocab_sizes->data() : nullptr, filters, nodes, values);
  };
  const Rows work = is_double ? rows_of(static_cast<const double*>(scores.data_ptr()))
                              : rows_of(static_cast<const float*>(scores.data_ptr()));

  // Enough chunks of beams for every thread, each with a pool for its best `keep`. Beams are dealt to chunks in turn,
  // because a chunk without good beams has a low threshold and skips little.
  const int64_t threads = std::max<int64_t>(1, std::min(num_threads(), work.logits / kGrain));
  const int64_t chunks =
      batch == 0 ? 1 : std::clamp<int64_t>((threads + batch - 1) / batch, 1, std::max<int64_t>(width, 1));
  const int64_t most = batch == 0 ? 0 : *std::max_element(work.candidates.begin(), work.candidates.end());
  const int64_t keep = std::max<int64_t>(1, std::min(num_beams, most));
  const int64_t pool_bytes = kernels.pool_bytes(step.dtype, keep);
  const int64_t scratch_bytes = kernels.scratch_bytes(step.dtype, work.max_children);
  const std::unique_ptr<char[]> pools(new char[batch * chunks * pool_bytes]);
  const std::unique_ptr<char[]> scratch(new char[batch * chunks * scratch_bytes]);

  std::vector<int64_t> counts(batch * chunks);
  const int64_t grain = threads == 1 ? batch * chunks : 1;
  parallel_for(batch * chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      counts[i] = kernels.scan(step, work.rows[i / chunks], i % chunks, chunks, width, keep, &pools[i * pool_bytes],
                               &scratch[i * scratch_bytes]);
    }
  });
  for (int64_t b = 0; b < batch; ++b) {
    int64_t bad = width;  // first position with bad logits
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      if (const int64_t count = counts[b * chunks + chunk]; count < 0) bad = std::min(bad, -1 - count);
    if (bad == width) continue;
    const int64_t beam = work.rows[b].beam_at(bad);
    const Trie& trie = work.rows[b].trie;
    const Interval children = children_of(trie, work.rows[b].nodes[beam]);
    for (int64_t child = children.begin; child < children.end; ++child)
      require_value(0 <= token_of(trie, child) && token_of(trie, child) < step.vocab, op,
                    ": logits must have a column for each token of the trie, got ", step.vocab, " and token ",
                    token_of(trie, child));
    require_value(false, op, ": logits must hold no NaN and no +inf, got one in logits[", b, ", ", beam, "]");
  }

  const Tensor new_scores = empty({batch, num_beams}, scores.scalar_type(), logits);
  const auto indices = [&] { return empty({batch, num_beams}, ScalarType::Int, logits); };
  const Tensor new_tokens = indices(), parents = indices(), new_nodes = indices();
  const auto row_of = [&](const Tensor& indices, int64_t row) {
    return static_cast<int32_t*>(indices.data_ptr()) + row * num_beams;
  };
  parallel_for(batch, threads == 1 ? batch : 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      void* scores_of_row =
          static_cast<char*>(new_scores.data_ptr()) + row * num_beams * static_cast<int64_t>(new_scores.element_size());
      kernels.merge(step, work.rows[row], keep, &counts[row * chunks], chunks, &pools[row * chunks * pool_bytes],
                    {scores_of_row, row_of(new_tokens, row), row_of(parents, row), row_of(new_nodes, row)});
    }
  });
  return {new_scores, new_tokens, parents, new_nodes};
}

// Stored item priors of a trie; null: none.
struct Prior {
  Tensor values;
  const float* f32 = nullptr;
  const double* f64 = nullptr;

  Prior(const char* op, const Tensor& values_in, int64_t num_items) : values(recops::contiguous(values_in)) {
    require_prior(op, values, num_items);
    if (values.scalar_type() == ScalarType::Double)
      f64 = static_cast<const double*>(values.data_ptr());
    else
      f32 = static_cast<const float*>(values.data_ptr());
  }
};

// scores_out [K], sids [K, depth]: scores and SIDs of the beams that the items came from; −inf and −1 without an item.
template <class T>
void write_beams(const Trie& trie, const int32_t* nodes, const T* scores, const int32_t* beams, int64_t num_beams,
                 T* scores_out, int32_t* sids) {
  for (int64_t i = 0; i < num_beams; ++i) {
    scores_out[i] = beams[i] < 0 ? -std::numeric_limits<T>::infinity() : scores[beams[i]];
    if (beams[i] < 0)
      std::fill_n(sids + i * trie.depth, trie.depth, -1);
    else
      sid_of(trie, nodes[beams[i]], sids + i * trie.depth);
  }
}

std::tuple<Tensor, Tensor, Tensor> trie_beam_items(Tensor first_child, Tensor tokens, Tensor stamp, Tensor item_ids_in,
                                                   Tensor item_rows_in, int64_t depth, Tensor nodes_in,
                                                   Tensor scores_in, int64_t num_beams,
                                                   std::optional<Tensor> trie_index, MaybeTensors more_tries,
                                                   MaybeTensors more_items, MaybeTensors allowed, MaybeTensors bans,
                                                   MaybeTensors item_priors) {
  const char* op = "constrained_beam_search";
  const Tensor scores = recops::contiguous(scores_in);
  const bool is_double = scores.scalar_type() == ScalarType::Double;
  require_beams(op, nodes_in, scores, is_double ? ScalarType::Double : ScalarType::Float, num_beams);
  const int64_t batch = nodes_in.size(0), width = nodes_in.size(1);
  const Tries tries(op, joined({first_child, tokens, stamp}, resolved(op, "trie", more_tries, nodes_in)), depth,
                    trie_index, batch);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, tries);
  const Filters filters(op, tries, resolved(op, "allowed", allowed, nodes_in), resolved(op, "banned", bans, nodes_in),
                        batch);
  const std::vector<Tensor> items = joined({item_ids_in, item_rows_in}, resolved(op, "items", more_items, nodes_in));
  const std::vector<Tensor> prior_values = resolved(op, "item_prior", item_priors, nodes_in);
  const auto count = static_cast<size_t>(tries.size());
  require_value(items.size() == 2 * count && (!item_priors || prior_values.size() == count), op,
                ": item_ids, item_rows and item_prior must have an entry for each of ", count, " tries, got ",
                items.size(), " and ", prior_values.size(), " tensors");
  std::vector<Tensor> item_ids, item_rows;
  std::vector<Prior> priors;
  for (int64_t t = 0; t < tries.size(); ++t) {
    item_ids.push_back(recops::contiguous(items[2 * t]));
    item_rows.push_back(recops::contiguous(items[2 * t + 1]));
    require_items(op, item_ids[t], "item_rows", item_rows[t]);
    require_numel(op, "item_ids", item_ids[t], tries[t].view.num_items);
    if (item_priors) priors.emplace_back(op, prior_values[t], tries[t].view.num_items);
  }

  int64_t most = 0;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = b * width; i < (b + 1) * width; ++i) {
      if (nodes[i] < 0) continue;
      const HostTrie& trie = tries.of_row(b);
      require_value(nodes[i] >= trie.level_starts[depth], op, ": nodes must be leaves, from ", trie.level_starts[depth],
                    " on, got ", nodes[i]);
      const Interval of_leaf = items_below(trie.view, {nodes[i], nodes[i] + 1}, depth);
      most = std::max(most, of_leaf.end - of_leaf.begin);
    }

  const Tensor ids = empty({batch, num_beams}, ScalarType::Long, nodes_in);
  const Tensor sids = empty({batch, num_beams, depth}, ScalarType::Int, nodes_in);
  const Tensor new_scores = empty({batch, num_beams}, scores.scalar_type(), nodes_in);
  auto* id = static_cast<int64_t*>(ids.data_ptr());
  std::vector<int32_t> beams(num_beams);
  std::vector<int64_t> scratch(most);
  for (int64_t b = 0; b < batch; ++b, id += num_beams) {
    const int64_t t = tries.index(b);
    const Trie& trie = tries[t].view;
    const int32_t* nodes_of_row = nodes.data() + b * width;
    const auto expand = [&](const auto* values) {
      items_of_leaves(trie, nodes_of_row, width, filters[b], values,
                      static_cast<const int32_t*>(item_rows[t].data_ptr()), num_beams, id, beams.data(),
                      scratch.data());
    };
    if (priors.empty())
      expand(static_cast<const float*>(nullptr));
    else
      priors[t].f64 != nullptr ? expand(priors[t].f64) : expand(priors[t].f32);
    const auto* ids_of_trie = static_cast<const int64_t*>(item_ids[t].data_ptr());
    for (int64_t i = 0; i < num_beams; ++i)
      if (id[i] >= 0) id[i] = ids_of_trie[id[i]];
    const auto write = [&](auto type) {
      using T = decltype(type);
      write_beams(trie, nodes_of_row, static_cast<const T*>(scores.data_ptr()) + b * width, beams.data(), num_beams,
                  static_cast<T*>(new_scores.data_ptr()) + b * num_beams,
                  static_cast<int32_t*>(sids.data_ptr()) + b * num_beams * depth);
    };
    is_double ? write(double{}) : write(float{});
  }
  return {ids, sids, new_scores};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  // `more_tries`: first_child, tokens and stamp of each further trie. `more_items`: item_ids and item_rows of each.
  // `allowed`: mask words and stamp of each trie. `bans`: positions, offsets and stamps.
  //
  // A step runs between two model calls with cold caches, where every list argument costs time; the usual call passes
  // no lists. `vocab_sizes` has the level sizes of each trie; it is empty if the logits cover all levels.
  m.def(
      "trie_beam_step(Tensor logits, Tensor first_child, Tensor tokens, Tensor stamp, int depth, Tensor nodes, Tensor "
      "scores, SymInt num_beams, str normalize, int[]? vocab_sizes, Tensor? trie_index, Tensor[]? more_tries, "
      "Tensor[]? allowed, Tensor[]? bans) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "trie_beam_items(Tensor first_child, Tensor tokens, Tensor stamp, Tensor item_ids, Tensor item_rows, int depth, "
      "Tensor nodes, Tensor scores, SymInt num_beams, Tensor? trie_index, Tensor[]? more_tries, Tensor[]? more_items, "
      "Tensor[]? allowed, Tensor[]? bans, Tensor[]? item_priors) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("trie_beam_step", TORCH_BOX(&trie_beam_step));
  m.impl("trie_beam_items", TORCH_BOX(&trie_beam_items));
}

}  // namespace recops::trie
