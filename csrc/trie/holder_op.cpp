// Ops behind SidTrie: construction and lookups. build.h and lookup.h have the arithmetic.
#include <algorithm>
#include <iterator>
#include <span>
#include <tuple>
#include <vector>

#include "trie/arguments.h"
#include "trie/batch.h"
#include "trie/build.h"
#include "trie/fingerprint.h"
#include "trie/tensors.h"

namespace recops::trie {
namespace {

constexpr int64_t kGrain = 1024;  // least number of lookups per thread

template <class T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

// Version number of a trie without a catalogue.
Tensor fingerprint(const Tensor& first_child, const Tensor& tokens, const Tensor& item_ids) {
  Fingerprint content;
  content.add(data<int32_t>(first_child), first_child.numel());
  if (tokens.scalar_type() == ScalarType::Int)
    content.add(data<int32_t>(tokens), tokens.numel());
  else
    content.add(data<uint16_t>(tokens), tokens.numel());
  content.add(data<int64_t>(item_ids), item_ids.numel());
  const Tensor stamp = empty({}, ScalarType::Long, item_ids);
  *data<int64_t>(stamp) = content.value();
  return stamp;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> trie_build(Tensor sids_in, Tensor item_ids_in,
                                                                      std::vector<int64_t> vocab_sizes) {
  const char* op = "SidTrie.from_sids";
  const Tensor sids = recops::contiguous(sids_in), ids = recops::contiguous(item_ids_in);
  const int64_t depth = static_cast<int64_t>(vocab_sizes.size()), count = ids.numel();
  require_between(op, "depth", depth, 1, kMostDepth);
  require_dtype(op, "item_ids", ids, ScalarType::Long);
  require_between(op, "the number of items", count, 0, INT32_MAX);
  require_shape(op, "sids", sids, {count, depth});
  require_vocab_sizes(op, vocab_sizes, INT32_MAX);
  const int64_t largest = *std::max_element(vocab_sizes.begin(), vocab_sizes.end());
  const Builder builder = indices(op, "sids", sids).wide ? Builder(data<int64_t>(sids), count, vocab_sizes)
                                                         : Builder(data<int32_t>(sids), count, vocab_sizes);

  const int64_t num_nodes = builder.num_nodes();
  const bool wide = largest > 65536;
  const Tensor first_child = empty({num_nodes + 1}, ScalarType::Int, sids);
  const Tensor tokens = empty({num_nodes}, wide ? ScalarType::Int : ScalarType::UInt16, sids);
  const Tensor item_rows = empty({count}, ScalarType::Int, sids);
  if (wide)
    builder.fill(data<int32_t>(first_child), data<int32_t>(tokens), data<int32_t>(item_rows));
  else
    builder.fill(data<int32_t>(first_child), data<uint16_t>(tokens), data<int32_t>(item_rows));

  const Tensor item_ids = empty({count}, ScalarType::Long, sids), id_order = empty({count}, ScalarType::Int, sids);
  for (int64_t i = 0; i < count; ++i) data<int64_t>(item_ids)[i] = data<int64_t>(ids)[data<int32_t>(item_rows)[i]];
  index_ids(data<int64_t>(ids), data<int32_t>(item_rows), count, data<int32_t>(id_order));
  return {first_child, tokens, item_ids, item_rows, id_order, fingerprint(first_child, tokens, item_ids)};
}

Tensor trie_find(Tensor first_child, Tensor tokens, int64_t depth, Tensor sids_in) {
  const char* op = "SidTrie.find";
  const HostTrie trie(op, first_child, tokens, depth);
  const Tensor sids = recops::contiguous(sids_in);
  require_value(sids.dim() == 2 && sids.size(1) <= depth, op, ": sids must be [n, at most ", depth, "], got ",
                shape_of(sids));
  const Indices rows = indices(op, "sids", sids);
  const int64_t length = sids.size(1);
  const Tensor nodes = empty({sids.size(0)}, ScalarType::Int, sids);
  parallel_for(sids.size(0), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      data<int32_t>(nodes)[i] = static_cast<int32_t>(find_node(trie.view, rows, i * length, length));
  });
  return nodes;
}

std::tuple<Tensor, Tensor> trie_items(Tensor first_child, Tensor tokens, int64_t depth, Tensor item_ids_in,
                                      Tensor nodes_in) {
  const char* op = "SidTrie.items";
  const HostTrie trie(op, first_child, tokens, depth);
  const Tensor item_ids = recops::contiguous(item_ids_in);
  require_dtype(op, "item_ids", item_ids, ScalarType::Long);
  require_numel(op, "item_ids", item_ids, trie.view.num_items);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, trie.view);
  const int64_t count = static_cast<int64_t>(nodes.size());

  const Tensor offsets = empty({count + 1}, ScalarType::Long, item_ids);
  std::vector<Interval> intervals;
  data<int64_t>(offsets)[0] = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t node = nodes[i];
    intervals.push_back(node < 0 ? Interval{0, 0}
                                 : items_below(trie.view, {node, node + 1}, level_of(trie.view, node)));
    data<int64_t>(offsets)[i + 1] = data<int64_t>(offsets)[i] + intervals[i].end - intervals[i].begin;
  }
  const Tensor items = empty({data<int64_t>(offsets)[count]}, ScalarType::Long, item_ids);
  int64_t* next = data<int64_t>(items);
  for (const Interval& interval : intervals)
    next = std::copy(data<int64_t>(item_ids) + interval.begin, data<int64_t>(item_ids) + interval.end, next);
  return {offsets, items};
}

Tensor trie_allowed_tokens(Tensor first_child, Tensor tokens, int64_t depth, Tensor nodes_in, int64_t vocab_size) {
  const char* op = "SidTrie.allowed_tokens";
  const HostTrie trie(op, first_child, tokens, depth);
  const std::vector<int32_t> nodes = checked_nodes(op, nodes_in, trie.view);
  const int64_t count = static_cast<int64_t>(nodes.size());
  require_value(vocab_size >= 0, op, ": vocab_size must be at least 0, got ", vocab_size);

  const Tensor allowed = empty({count, vocab_size}, ScalarType::Bool, nodes_in);
  std::fill_n(data<bool>(allowed), count * vocab_size, false);
  for (int64_t i = 0; i < count; ++i) {
    if (nodes[i] < 0) continue;
    const Interval children = children_of(trie.view, nodes[i]);
    for (int64_t child = children.begin; child < children.end; ++child) {
      const int64_t token = token_of(trie.view, child);
      require_value(0 <= token && token < vocab_size, op, ": vocab_size must cover the tokens of node ", nodes[i],
                    ", got ", vocab_size, " and token ", token);
      data<bool>(allowed)[i * vocab_size + token] = true;
    }
  }
  return allowed;
}

// Checks the positions that lookups returned.
template <class Positions>
void require_order(const char* op, const Positions& positions) {
  require_index(std::find(std::begin(positions), std::end(positions), Items::kBadOrder) == std::end(positions), op,
                ": id_order must hold positions of items, got others");
}

Tensor trie_mask(Tensor item_ids_in, Tensor id_order_in, Tensor ids_in, Tensor offsets_in, bool keep, bool missing_ok) {
  const char* op = "SidTrie.mask";
  const Tensor item_ids = recops::contiguous(item_ids_in), id_order = recops::contiguous(id_order_in);
  const Tensor ids = recops::contiguous(ids_in), offsets = recops::contiguous(offsets_in);
  require_items(op, item_ids, "id_order", id_order);
  require_ragged(op, ids, offsets);
  const Items items{data<int64_t>(item_ids), data<int32_t>(id_order), item_ids.numel()};
  const int64_t rows = offsets.numel() - 1, width = (items.count + 63) / 64;
  const int64_t* bounds = data<int64_t>(offsets);
  require_value(bounds[0] == 0 && std::is_sorted(bounds, bounds + rows + 1) && bounds[rows] == ids.numel(), op,
                ": offsets must rise from 0 to the number of ids, ", ids.numel(), ", got others");

  std::vector<int64_t> positions(ids.numel());
  parallel_for(ids.numel(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) positions[i] = items.position(data<int64_t>(ids)[i]);
  });
  require_order(op, positions);
  if (!missing_ok) {
    const auto missing = std::find(positions.begin(), positions.end(), -1);
    require_value(missing == positions.end(), op, ": ids must be in the trie (missing_ok=True skips others), got ",
                  missing == positions.end() ? 0 : data<int64_t>(ids)[missing - positions.begin()]);
  }
  const Tensor words = empty({rows, width}, ScalarType::Long, item_ids);
  for (int64_t row = 0; row < rows; ++row)
    pack_mask(positions.data() + bounds[row], bounds[row + 1] - bounds[row], keep, items.count,
              data<uint64_t>(words) + row * width);
  return words;
}

// Converts each row's ids to ascending positions in the row's trie; −1 for ids that the trie lacks.
Tensor trie_bans(std::vector<Tensor> item_ids_in, std::vector<Tensor> id_order_in, std::optional<Tensor> trie_index,
                 Tensor ids_in, Tensor offsets_in) {
  const char* op = "item_bans";
  const Tensor ids = recops::contiguous(ids_in), offsets = recops::contiguous(offsets_in);
  const int64_t count = static_cast<int64_t>(item_ids_in.size()), rows = offsets.numel() - 1;
  require_value(count >= 1 && id_order_in.size() == item_ids_in.size(), op,
                ": item_ids and id_order must have an entry for each trie, got ", count, " and ", id_order_in.size());
  require_ragged(op, ids, offsets);
  std::vector<Tensor> held;
  std::vector<Items> tries;
  for (int64_t t = 0; t < count; ++t) {
    held.push_back(recops::contiguous(item_ids_in[t]));
    held.push_back(recops::contiguous(id_order_in[t]));
    const Tensor &item_ids = held[2 * t], &id_order = held[2 * t + 1];
    require_items(op, item_ids, "id_order", id_order);
    tries.push_back({data<int64_t>(item_ids), data<int32_t>(id_order), item_ids.numel()});
  }
  const std::vector<int64_t> index = row_indices(op, trie_index, count, rows);
  const int64_t* bounds = data<int64_t>(offsets);
  require_value(bounds[0] == 0 && std::is_sorted(bounds, bounds + rows + 1) && bounds[rows] == ids.numel(), op,
                ": offsets must rise from 0 to the number of ids, ", ids.numel(), ", got others");
  const Tensor positions = empty({ids.numel()}, ScalarType::Int, ids);
  auto* position = data<int32_t>(positions);
  for (int64_t row = 0; row < rows; ++row) {
    const Items& items = tries[index.empty() ? 0 : index[row]];
    for (int64_t i = bounds[row]; i < bounds[row + 1]; ++i)
      position[i] = static_cast<int32_t>(items.position(data<int64_t>(ids)[i]));
    require_order(op, std::span(position + bounds[row], position + bounds[row + 1]));
    std::sort(position + bounds[row], position + bounds[row + 1]);
  }
  return positions;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "trie_build(Tensor sids, Tensor item_ids, int[] vocab_sizes) -> (Tensor, Tensor, Tensor, Tensor, Tensor, "
      "Tensor)");
  m.def("trie_find(Tensor first_child, Tensor tokens, int depth, Tensor sids) -> Tensor");
  m.def("trie_items(Tensor first_child, Tensor tokens, int depth, Tensor item_ids, Tensor nodes) -> (Tensor, Tensor)");
  m.def("trie_allowed_tokens(Tensor first_child, Tensor tokens, int depth, Tensor nodes, SymInt vocab_size) -> Tensor");
  m.def(
      "trie_mask(Tensor item_ids, Tensor id_order, Tensor ids, Tensor offsets, bool keep, bool missing_ok) -> Tensor");
  m.def("trie_bans(Tensor[] item_ids, Tensor[] id_order, Tensor? trie_index, Tensor ids, Tensor offsets) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("trie_build", TORCH_BOX(&trie_build));
  m.impl("trie_find", TORCH_BOX(&trie_find));
  m.impl("trie_items", TORCH_BOX(&trie_items));
  m.impl("trie_allowed_tokens", TORCH_BOX(&trie_allowed_tokens));
  m.impl("trie_mask", TORCH_BOX(&trie_mask));
  m.impl("trie_bans", TORCH_BOX(&trie_bans));
}

}  // namespace recops::trie
