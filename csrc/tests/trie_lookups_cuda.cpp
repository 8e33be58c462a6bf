// Runs the CUDA kernels of lookups in a trie on the host and compares them with the CPU's functions.
//
//   trie_lookups_cuda find|items|tokens|sets
//
// Each case runs in every order of threads. Arrays have exactly their sizes and are filled with −1 first. Results must
// equal the CPU's. Exit code 1 means a difference.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "random_trie.h"
#include "trie/cuda_lookups.cu"
#include "trie/lookup.h"

namespace recops::trie::cuda {
namespace {

constexpr int64_t kDepth = 3;

struct Case {
  int64_t items, vocab, count;
  bool wide_tokens = false, wide_indices = false;
};

bool fails(const Case& c, const std::string& what) {
  std::printf("items %d, vocab %d, count %d: %s\n", static_cast<int>(c.items), static_cast<int>(c.vocab),
              static_cast<int>(c.count), what.c_str());
  return false;
}

// Runs `check` in every order of threads.
template <class Check>
bool in_orders(const Case& c, const Check& check) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    try {
      if (!check()) return false;
    } catch (const emulation::KernelError& error) {
      return fails(c, error.what());
    }
  }
  return true;
}

// Integers in one of two widths.
struct Integers {
  std::vector<int64_t> wide;
  std::vector<int32_t> narrow;
  Indices indices(bool is_wide) {
    narrow.assign(wide.begin(), wide.end());
    return is_wide ? Indices{wide.data(), true} : Indices{narrow.data(), false};
  }
};

TrieArrays arrays(const RandomTrie& trie) {
  TrieArrays result{};
  result.first_child = trie.first_child.data();
  result.tokens = trie.view.tokens;
  result.wide_tokens = trie.view.wide_tokens;
  result.num_nodes = trie.view.num_nodes;
  return result;
}

// Random nodes, of which some are −1.
std::vector<int64_t> random_nodes(const RandomTrie& trie, int64_t count) {
  std::vector<int64_t> nodes(count);
  for (int64_t& node : nodes) node = static_cast<int64_t>(next_bits() % (trie.view.num_nodes + 1)) - 1;
  return nodes;
}

bool run_find(const Case& c) {
  const RandomTrie trie(c.items, c.vocab, kDepth, c.wide_tokens);
  bool good = true;
  for (int64_t length = 0; length <= kDepth; ++length) {
    Integers sids;
    for (int64_t i = 0; i < c.count; ++i) {
      // Half of the rows are paths in the trie.
      int64_t node = 0;
      for (int64_t level = 0; level < length; ++level) {
        const Interval children = children_of(trie.view, node);
        const bool follows = next_bits() % 8 != 0 && children.begin < children.end;
        if (follows) node = children.begin + next_bits() % (children.end - children.begin);
        sids.wide.push_back(follows ? token_of(trie.view, node)
                                    : static_cast<int64_t>(next_bits() % (c.vocab + 2)) - 1);
      }
      if (c.wide_indices && i % 9 == 8 && length > 0) sids.wide.back() = int64_t{1} << 40 | sids.wide.back();
    }
    const Indices indices = sids.indices(c.wide_indices);
    good &= in_orders(c, [&] {
      std::vector<int32_t> nodes(c.count, -2);
      if (find({arrays(trie), indices, c.count, length, nodes.data()}, nullptr) != cudaSuccess)
        return fails(c, "a launch failed");
      for (int64_t i = 0; i < c.count; ++i)
        if (nodes[i] != find_node(trie.view, indices, i * length, length))
          return fails(c, "SID " + std::to_string(i) + " has node " + std::to_string(nodes[i]));
      return true;
    });
  }
  return good;
}

struct FoundItems {
  std::vector<int64_t> offsets, items;
  Report report{};
};

FoundItems find_all(const RandomTrie& trie, int64_t depth, int64_t num_items, const Indices& nodes, int64_t count,
                    const std::vector<int64_t>& item_ids) {
  FoundItems result;
  result.offsets.assign(count + 1, -1);
  const std::unique_ptr<char[]> workspace(new char[items_workspace_bytes(count)]);
  const ItemsCall call{arrays(trie),          depth,           num_items,     nodes, count,
                       result.offsets.data(), workspace.get(), &result.report};
  if (find_items(call, nullptr) != cudaSuccess) throw emulation::KernelError("a launch failed");
  if (result.report.is_wrong != 0) return result;
  result.items.assign(result.report.total, -1);
  if (gather_items(call, item_ids.data(), result.report.total, result.items.data(), nullptr) != cudaSuccess)
    throw emulation::KernelError("a launch failed");
  return result;
}

bool run_items(const Case& c) {
  RandomTrie trie(c.items, c.vocab, kDepth, c.wide_tokens);
  std::vector<int64_t> item_ids(c.items);
  for (int64_t& id : item_ids) id = next_bits();
  Integers nodes{random_nodes(trie, c.count), {}};
  if (c.count > 2) nodes.wide[1] = 0;  // all items
  const Indices indices = nodes.indices(c.wide_indices);
  std::vector<int64_t> offsets{0}, expected;
  for (int64_t node : nodes.wide) {
    const Interval items =
        node < 0 ? Interval{0, 0} : items_below(trie.view, {node, node + 1}, level_of(trie.view, node));
    expected.insert(expected.end(), item_ids.begin() + items.begin, item_ids.begin() + items.end);
    offsets.push_back(static_cast<int64_t>(expected.size()));
  }
  const auto run = [&](int64_t depth, int64_t num_items) {
    return find_all(trie, depth, num_items, indices, c.count, item_ids);
  };
  bool good = in_orders(c, [&] {
    const FoundItems result = run(kDepth, c.items);
    if (result.report.is_wrong != 0) return fails(c, "an error was reported");
    if (result.offsets != offsets) return fails(c, "the offsets differ");
    return result.items == expected || fails(c, "the items differ");
  });
  const auto noticed = [&](const char* what, bool is_wrong) {
    good &= is_wrong || fails(c, std::string(what) + " was not noticed");
  };
  noticed("another number of items", run(kDepth, c.items + 1).report.is_wrong != 0);
  for (int64_t node : {int64_t{-2}, trie.view.num_nodes}) {
    Integers wrong{{0, node}, {}};
    noticed("a node outside", find_all(trie, kDepth, c.items, wrong.indices(true), 2, item_ids).report.is_wrong != 0);
  }
  if (c.items > 0) {
    Integers root{{0}, {}};
    const auto of_root = [&] { return find_all(trie, kDepth, c.items, root.indices(true), 1, item_ids).report; };
    const int32_t before = trie.first_child[1];
    for (int32_t child : {0, -5, static_cast<int32_t>(trie.view.num_nodes + 5)}) {
      trie.first_child[1] = child;
      noticed("children outside", of_root().is_wrong != 0);
    }
    trie.first_child[1] = before;
    trie.first_child[0] = 0;
    noticed("a cycle", of_root().is_wrong != 0);
  }
  return good;
}

bool run_tokens(const Case& c) {
  const RandomTrie trie(c.items, c.vocab, kDepth, c.wide_tokens);
  Integers nodes{random_nodes(trie, c.count), {}};
  const Indices indices = nodes.indices(c.wide_indices);
  const int64_t most = c.vocab;
  const auto run = [&](const Indices& of, int64_t count, int64_t vocab_size, std::vector<char>& allowed) {
    Report report{};
    allowed.assign(count * vocab_size, 0);
    const AllowedTokensCall call{arrays(trie), of, count, vocab_size, reinterpret_cast<bool*>(allowed.data()), &report};
    if (allowed_tokens(call, nullptr) != cudaSuccess) throw emulation::KernelError("a launch failed");
    return report.is_wrong != 0;
  };
  std::vector<char> expected(c.count * most);
  int64_t largest = -1;
  for (int64_t i = 0; i < c.count; ++i) {
    if (nodes.wide[i] < 0) continue;
    const Interval children = children_of(trie.view, nodes.wide[i]);
    for (int64_t child = children.begin; child < children.end; ++child) {
      largest = std::max(largest, token_of(trie.view, child));
      expected[i * most + token_of(trie.view, child)] = 1;
    }
  }
  std::vector<char> allowed;
  bool good = in_orders(c, [&] {
    if (run(indices, c.count, most, allowed)) return fails(c, "an error was reported");
    return allowed == expected || fails(c, "the tokens differ");
  });
  if (largest >= 0 && !run(indices, c.count, largest, allowed)) good = fails(c, "a token outside was not noticed");
  for (int64_t node : {int64_t{-2}, trie.view.num_nodes}) {
    Integers wrong{{node}, {}};
    good &= run(wrong.indices(true), 1, most, allowed) || fails(c, "a node outside was not noticed");
  }
  return good;
}

// Item ids in random order, and ids of rows, of which some are missing and some repeated.
struct Sets {
  std::vector<int64_t> item_ids, ids, offsets{0};
  std::vector<int32_t> order;

  Sets(int64_t num_items, const std::vector<int64_t>& sizes) {
    for (int64_t i = 0; i < num_items; ++i) item_ids.push_back((i * 7919 + 13) % (3 * num_items + 1) - num_items);
    std::sort(item_ids.begin(), item_ids.end());
    item_ids.erase(std::unique(item_ids.begin(), item_ids.end()), item_ids.end());
    for (int64_t i = num_items - 1; i > 0 && static_cast<size_t>(i) < item_ids.size(); --i)
      std::swap(item_ids[i], item_ids[next_bits() % (i + 1)]);
    for (size_t i = 0; i < item_ids.size(); ++i) order.push_back(static_cast<int32_t>(i));
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return item_ids[a] < item_ids[b]; });
    for (int64_t size : sizes) {
      for (int64_t i = 0; i < size; ++i) {
        const bool is_missing = item_ids.empty() || next_bits() % 9 == 0;
        ids.push_back(is_missing ? 4 * num_items + 7 : item_ids[next_bits() % item_ids.size()]);
      }
      offsets.push_back(static_cast<int64_t>(ids.size()));
    }
  }

  int64_t num_items() const { return static_cast<int64_t>(item_ids.size()); }
  int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
  Items items() const { return {item_ids.data(), order.data(), num_items()}; }
  IndexedIds indexed() const { return {item_ids.data(), order.data(), num_items()}; }
  RowsOfIds rows_of_ids() const { return {ids.data(), offsets.data(), static_cast<int64_t>(ids.size()), rows()}; }
};

bool run_mask(const Case& c, const Sets& sets, bool keep) {
  const int64_t width = (sets.num_items() + 63) / 64;
  std::vector<uint64_t> expected(sets.rows() * width);
  for (int64_t row = 0; row < sets.rows() && width > 0; ++row) {
    std::vector<int64_t> positions;
    for (int64_t i = sets.offsets[row]; i < sets.offsets[row + 1]; ++i)
      positions.push_back(sets.items().position(sets.ids[i]));
    pack_mask(positions.data(), static_cast<int64_t>(positions.size()), keep, sets.num_items(),
              expected.data() + row * width);
  }
  return in_orders(c, [&] {
    std::vector<uint64_t> words(sets.rows() * width, 0x5555555555555555);
    Report report{};
    const MaskCall call{sets.indexed(), sets.rows_of_ids(), keep, true, words.data(), &report};
    if (mask_items(call, nullptr) != cudaSuccess) return fails(c, "a launch failed");
    return (report.is_wrong == 0 && words == expected) || fails(c, "the mask differs");
  });
}

bool run_bans(const Case& c, const std::vector<const Sets*>& tries, const Sets& sets) {
  std::vector<int32_t> trie_index, expected;
  for (int64_t row = 0; row < sets.rows(); ++row) {
    trie_index.push_back(static_cast<int32_t>(row % static_cast<int64_t>(tries.size())));
    const Items items = tries[trie_index[row]]->items();
    for (int64_t i = sets.offsets[row]; i < sets.offsets[row + 1]; ++i)
      expected.push_back(static_cast<int32_t>(items.position(sets.ids[i])));
    std::sort(expected.begin() + sets.offsets[row], expected.end());
  }
  return in_orders(c, [&] {
    std::vector<int32_t> positions(sets.ids.size(), -7);
    Report report{};
    BansCall call{};
    for (size_t t = 0; t < tries.size(); ++t) call.tries[t] = tries[t]->indexed();
    call.num_tries = static_cast<int64_t>(tries.size());
    if (tries.size() > 1) call.trie_index = {trie_index.data(), false};
    call.ids = sets.rows_of_ids();
    call.positions = positions.data();
    call.report = &report;
    if (ban_items(call, nullptr) != cudaSuccess) return fails(c, "a launch failed");
    return (report.is_wrong == 0 && positions == expected) || fails(c, "the bans differ");
  });
}

// Whether a mask and bans report the damage.
template <class Damage>
bool is_noticed(const char* what, const Damage& damage) {
  Sets sets(100, {5, 0, 9});
  damage(sets);
  Report of_mask{}, of_bans{};
  std::vector<uint64_t> words(sets.rows() * 2);
  std::vector<int32_t> positions(sets.ids.size());
  const MaskCall mask{sets.indexed(), sets.rows_of_ids(), true, true, words.data(), &of_mask};
  BansCall bans{};
  bans.tries[0] = sets.indexed();
  bans.num_tries = 1;
  bans.ids = sets.rows_of_ids();
  bans.positions = positions.data();
  bans.report = &of_bans;
  const bool launched = mask_items(mask, nullptr) == cudaSuccess && ban_items(bans, nullptr) == cudaSuccess;
  if (launched && of_mask.is_wrong != 0 && of_bans.is_wrong != 0) return true;
  return fails({100, 0, 14}, std::string(what) + " was not noticed");
}

bool run_sets() {
  bool good = true;
  const Sets other(300, {});
  for (const auto& [items, sizes] : std::vector<std::pair<int64_t, std::vector<int64_t>>>{
           {1, {1}}, {0, {3, 0}}, {64, {0, 5, 64}}, {200, {}}, {500, {300, 1, 0, 2, 257}}, {900, {10000, 33}}}) {
    const Sets sets(items, sizes);
    const Case c{items, 0, static_cast<int64_t>(sets.ids.size())};
    good &= run_mask(c, sets, true) && run_mask(c, sets, false) && run_bans(c, {&sets}, sets);
    good &= run_bans(c, {&sets, &other}, sets);
  }
  good &= is_noticed("an offset that falls", [](Sets& sets) { sets.offsets[1] = 15; });
  good &= is_noticed("a first offset that is not 0", [](Sets& sets) { sets.offsets[0] = 1; });
  good &= is_noticed("a last offset that is not the count", [](Sets& sets) { sets.offsets[3] = 13; });
  for (int32_t position : {-1, 100})
    good &= is_noticed("an order without positions",
                       [&](Sets& sets) { std::fill(sets.order.begin(), sets.order.end(), position); });
  Sets sets(100, {20});
  sets.ids[3] = 1 << 20;
  Report report{};
  std::vector<uint64_t> words(2);
  mask_items({sets.indexed(), sets.rows_of_ids(), true, false, words.data(), &report}, nullptr);
  return good && (report.is_wrong != 0 || fails({100, 0, 20}, "a missing id was not noticed"));
}

bool run(const std::string& what) {
  if (what == "sets") return run_sets();
  const std::vector<Case> cases{
      {1, 1, 1},           {0, 5, 7},
      {40, 6, 0},          {300, 13, 257, false, true},
      {2000, 1, 5},        {3000, 1500, 300, true, false},
      {5000, 9, 2 * 1029}, {2, 100000, 3, true, true},
  };
  bool good = true;
  for (const Case& c : cases) {
    if (what == "items" && c.count == 0) continue;
    good &= what == "find" ? run_find(c) : what == "items" ? run_items(c) : run_tokens(c);
  }
  // More semantic IDs than those that each have a warp.
  if (what == "find") good &= run_find({200, 7, (1 << 14) + 3});
  return good;
}

}  // namespace
}  // namespace recops::trie::cuda

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "find" || what == "items" || what == "tokens" || what == "sets")
    return recops::trie::cuda::run(what) ? 0 : 1;
  std::fprintf(stderr, "usage: %s find|items|tokens|sets\n", argv[0]);
  return 2;
}
