// Runs the CUDA kernels that build a trie on the host and compares them with build.h.
//
//   trie_build_cuda
//
// Each case runs in every order of threads. All arrays must equal the CPU's, element by element. Exit code 1 means a
// difference.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "random.h"
#include "trie/build.h"
#include "trie/cuda_build.cu"
#include "trie/fingerprint.h"

namespace recops::trie::cuda {
namespace {

struct Case {
  int64_t count;
  std::vector<int64_t> vocab_sizes;
  enum Ids { ascending, shuffled, negative } ids = ascending;
  bool wide = false;     // int64 SIDs
  int64_t distinct = 0;  // of SIDs; 0: no bound
};

bool fails(const Case& c, const std::string& what) {
  std::printf("count %d, depth %d, ids %d: %s\n", static_cast<int>(c.count), static_cast<int>(c.vocab_sizes.size()),
              static_cast<int>(c.ids), what.c_str());
  return false;
}

struct Trie {
  std::vector<int32_t> first_child, wide_tokens, item_rows, id_order;
  std::vector<uint16_t> narrow_tokens;
  std::vector<int64_t> item_ids;
  int64_t stamp = 0;
  bool is_wrong = false;

  void resize(int64_t num_nodes, int64_t count, bool is_wide) {
    first_child.assign(num_nodes + 1, -1);
    wide_tokens.assign(is_wide ? num_nodes : 0, -1);
    narrow_tokens.assign(is_wide ? 0 : num_nodes, 7);
    item_rows.assign(count, -1);
    id_order.assign(count, -1);
    item_ids.assign(count, -1);
  }
  bool operator==(const Trie&) const = default;
};

class Input {
 public:
  explicit Input(const Case& c) : c(c), is_wide(*std::max_element(c.vocab_sizes.begin(), c.vocab_sizes.end()) > 65536) {
    const int64_t depth = static_cast<int64_t>(c.vocab_sizes.size());
    for (int64_t row = 0; row < c.count; ++row) {
      for (int64_t level = 0; level < depth; ++level) {
        const double uniform = next_bits() / 4294967296.0;
        sids.push_back(static_cast<int64_t>(uniform * uniform * static_cast<double>(c.vocab_sizes[level])));
      }
      if (c.distinct > 0 && row >= c.distinct)
        std::copy_n(sids.end() - depth - c.distinct * depth, depth, sids.end() - depth);
      ids.push_back(c.ids == Case::negative ? (row - c.count / 2) * (int64_t{1} << 40) : 3 * row + 1000);
    }
    if (c.ids != Case::ascending)
      for (int64_t i = c.count - 1; i > 0; --i) std::swap(ids[i], ids[next_bits() % (i + 1)]);
  }

  Trie run_cpu() const {
    const Builder builder(sids.data(), c.count, c.vocab_sizes);
    Trie trie;
    trie.resize(builder.num_nodes(), c.count, is_wide);
    if (is_wide)
      builder.fill(trie.first_child.data(), trie.wide_tokens.data(), trie.item_rows.data());
    else
      builder.fill(trie.first_child.data(), trie.narrow_tokens.data(), trie.item_rows.data());
    for (int64_t i = 0; i < c.count; ++i) trie.item_ids[i] = ids[trie.item_rows[i]];
    recops::trie::index_ids(ids.data(), trie.item_rows.data(), c.count, trie.id_order.data());
    Fingerprint content;
    content.add(trie.first_child.data(), builder.num_nodes() + 1);
    if (is_wide)
      content.add(trie.wide_tokens.data(), builder.num_nodes());
    else
      content.add(trie.narrow_tokens.data(), builder.num_nodes());
    content.add(trie.item_ids.data(), c.count);
    trie.stamp = content.value();
    return trie;
  }

  Trie run_cuda() const {
    const int64_t depth = static_cast<int64_t>(c.vocab_sizes.size());
    const std::vector<int32_t> narrow(sids.begin(), sids.end());
    const std::unique_ptr<char[]> workspace(new char[build_workspace_bytes(c.count, depth)]);
    std::fill_n(workspace.get(), build_workspace_bytes(c.count, depth), char{-1});
    BuildReport report{};
    const BuildCall call{{c.wide ? static_cast<const void*>(sids.data()) : narrow.data(), c.wide},
                         ids.data(),
                         c.count,
                         depth,
                         c.vocab_sizes.data(),
                         workspace.get(),
                         &report};
    require(sort_sids(call, nullptr));
    Trie trie;
    trie.is_wrong = report.is_wrong != 0;
    if (trie.is_wrong) return trie;
    int64_t num_nodes = 1;
    for (int64_t level = 0; level < depth; ++level) num_nodes += report.level_nodes[level];
    trie.resize(num_nodes, c.count, is_wide);
    const BuildOutputs outputs{trie.first_child.data(),
                               is_wide ? static_cast<void*>(trie.wide_tokens.data()) : trie.narrow_tokens.data(),
                               is_wide,
                               trie.item_ids.data(),
                               trie.item_rows.data(),
                               trie.id_order.data(),
                               &trie.stamp};
    const BuildReport first = report;
    require(write_nodes(call, first, outputs, nullptr));
    if (first.descends != 0) require(cuda::index_ids(call, first, outputs, nullptr));
    trie.is_wrong = report.is_wrong != 0;
    return trie;
  }

  Case c;
  bool is_wide;
  std::vector<int64_t> sids, ids;

 private:
  static void require(int error) {
    if (error != cudaSuccess) throw emulation::KernelError("a launch failed");
  }
};

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

const char* difference(const Trie& a, const Trie& b) {
  return a.is_wrong                           ? "an error was reported"
         : a.first_child != b.first_child     ? "first_child differs"
         : a.narrow_tokens != b.narrow_tokens ? "tokens differ"
         : a.wide_tokens != b.wide_tokens     ? "tokens differ"
         : a.item_rows != b.item_rows         ? "item_rows differs"
         : a.item_ids != b.item_ids           ? "item_ids differs"
         : a.id_order != b.id_order           ? "id_order differs"
                                              : "the stamp differs";
}

bool run(const Case& c) {
  const Input input(c);
  const Trie expected = input.run_cpu();
  return in_orders(c, [&] {
    const Trie actual = input.run_cuda();
    return actual == expected || fails(c, difference(actual, expected));
  });
}

template <class Damage>
bool is_noticed(const char* what, Case::Ids ids, const Damage& damage) {
  Case c{300, {13, 7, 5}, ids};
  c.wide = true;
  Input input(c);
  damage(input);
  return in_orders(c, [&] { return input.run_cuda().is_wrong || fails(c, std::string(what) + " was not noticed"); });
}

bool run_all() {
  std::vector<int64_t> deep(kMostBuildLevels, 3);
  const std::vector<Case> cases{
      {1, {1}},
      {2, {1, 1, 1}, Case::shuffled},
      {300, {256, 256, 256}, Case::shuffled},
      {1000, {5, 1, 9}, Case::negative, true},
      {9000, {40, 30, 20}, Case::shuffled, false, 700},  // several tiles of a sort
      {5000, {256, 256, 256, 256}, Case::negative, true, 4000},
      {2500, {2}},                                                              // many items per leaf
      {700, {100000, 3, 70000, 2000000000, 2000000000}, Case::shuffled, true},  // keys of two words
      {900, deep, Case::shuffled, false, 333},
  };
  bool good = true;
  for (const Case& c : cases) good &= run(c);
  for (int64_t row : {int64_t{0}, int64_t{299}})
    for (int64_t token : {int64_t{-1}, int64_t{7}, int64_t{1} << 40})
      good &= is_noticed("a token outside its vocabulary", Case::ascending,
                         [&](Input& input) { input.sids[row * 3 + 1] = token; });
  good &= is_noticed("a repeated id", Case::ascending, [](Input& input) { input.ids[299] = input.ids[298]; });
  good &= is_noticed("a repeated id", Case::shuffled, [](Input& input) { input.ids[299] = input.ids[0]; });
  good &= is_noticed("ids that are all the same", Case::ascending,
                     [](Input& input) { std::fill(input.ids.begin(), input.ids.end(), 5); });
  return good;
}

}  // namespace
}  // namespace recops::trie::cuda

int main() { return recops::trie::cuda::run_all() ? 0 : 1; }
