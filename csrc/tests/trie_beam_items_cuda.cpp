// Runs the CUDA kernels of the last step of a search on the host and compares them with the CPU's functions.
//
//   trie_beam_items_cuda
//
// Each case runs in every order of threads. Arrays have exactly their sizes and are filled with −2 or NaN first.
// Results must equal the CPU's. Exit code 1 means a difference.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "random_trie.h"
#include "trie/cuda.cu"
#include "trie/lookup.h"

namespace recops::trie::cuda {
namespace {

constexpr int64_t kDepth = 3;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
  int64_t batch, beams, num_beams, items, vocab;
  bool has_priors = false, has_mask = false;
  int64_t bans = 0, tries = 1;
  bool wide_nodes = false;
};

bool fails(const Case& c, const std::string& what) {
  std::printf("batch %d, beams %d, num_beams %d, items %d, vocab %d, priors %d: %s\n", static_cast<int>(c.batch),
              static_cast<int>(c.beams), static_cast<int>(c.num_beams), static_cast<int>(c.items),
              static_cast<int>(c.vocab), c.has_priors, what.c_str());
  return false;
}

struct Result {
  std::vector<int64_t> ids;
  std::vector<int32_t> sids;
  std::vector<float> scores;
  Result(int64_t batch, int64_t num_beams)
      : ids(batch * num_beams, -2), sids(batch * num_beams * kDepth, -2), scores(batch * num_beams, kNan) {}

  bool has_row_of(const Result& other, int64_t b, int64_t k) const {
    return std::equal(&ids[b * k], &ids[b * k] + k, &other.ids[b * k]) &&
           std::equal(&sids[b * k * kDepth], &sids[b * k * kDepth] + k * kDepth, &other.sids[b * k * kDepth]) &&
           std::memcmp(&scores[b * k], &other.scores[b * k], k * sizeof(float)) == 0;
  }
  bool is_poisoned(int64_t b, int64_t k) const {
    for (int64_t i = b * k; i < (b + 1) * k; ++i)
      if (ids[i] != -1 || sids[i * kDepth] != -1 || scores[i] == scores[i]) return false;
    return true;
  }
};

class Search {
 public:
  explicit Search(const Case& c) : c(c) {
    for (int64_t t = 0; t < c.tries; ++t) {
      tries.push_back(std::make_unique<RandomTrie>(c.items + 7 * t, c.vocab, kDepth, t % 2 == 1));
      const int64_t count = tries[t]->view.num_items;
      masks.push_back(tries[t]->mask(c.batch, 2));
      mask_stamps.push_back(tries[t]->stamp);
      ban_stamps.push_back(tries[t]->stamp);
      ids.emplace_back();
      rows.emplace_back(count);
      priors.emplace_back();
      for (int64_t i = 0; i < count; ++i) {
        ids[t].push_back(int64_t{next_bits()} << 8);
        rows[t][i] = static_cast<int32_t>((i * 7 + 3) % count);
        // Few values, so that there are ties. Zeros have both signs.
        priors[t].push_back(i % 5 == 0 ? -0.0f : static_cast<float>(static_cast<int>(next_bits() % 7)) - 3.0f);
      }
      if (count % 7 == 0)
        for (int64_t i = 0; i < count; ++i) rows[t][i] = static_cast<int32_t>(count - 1 - i);
    }
    for (int64_t b = 0; b < c.batch; ++b) {
      trie_index.push_back(static_cast<int32_t>(next_bits() % c.tries));
      const Trie& trie = trie_of(b);
      const int64_t first = trie.level_starts[kDepth], count = trie.num_nodes - first;
      for (int64_t m = 0; m < c.beams; ++m) {
        nodes.push_back(count == 0 || next_bits() % 6 == 0 ? -1 : first + next_bits() % count);
        scores.push_back(-static_cast<float>(m));
      }
      const size_t begin = bans.size();
      for (int64_t i = 0; i < c.bans; ++i)
        bans.push_back(
            next_bits() % 4 == 0 || trie.num_items == 0 ? -1 : static_cast<int32_t>(next_bits() % trie.num_items));
      std::sort(bans.begin() + begin, bans.end());
      offsets.push_back(static_cast<int64_t>(bans.size()));
    }
  }

  const Trie& trie_of(int64_t b) const { return tries[trie_index[b]]->view; }

  Result run_cpu() const {
    Result result(c.batch, c.num_beams);
    for (int64_t b = 0; b < c.batch; ++b) {
      const int64_t t = trie_index[b];
      const Trie& trie = trie_of(b);
      ItemFilter filter;
      if (c.has_mask) filter.mask = masks[t].data() + b * ((trie.num_items + 63) / 64);
      if (c.bans > 0) {
        filter.bans = bans.data() + offsets[b];
        filter.bans_end = bans.data() + offsets[b + 1];
      }
      const std::vector<int32_t> leaves(nodes.begin() + b * c.beams, nodes.begin() + (b + 1) * c.beams);
      std::vector<int32_t> beams(c.num_beams);
      std::vector<int64_t> scratch(trie.num_items);
      int64_t* of_row = &result.ids[b * c.num_beams];
      items_of_leaves(trie, leaves.data(), c.beams, filter, c.has_priors ? priors[t].data() : nullptr, rows[t].data(),
                      c.num_beams, of_row, beams.data(), scratch.data());
      for (int64_t i = 0; i < c.num_beams; ++i) {
        const int64_t out = b * c.num_beams + i;
        if (of_row[i] >= 0) of_row[i] = ids[t][of_row[i]];
        result.scores[out] = beams[i] < 0 ? -std::numeric_limits<float>::infinity() : scores[b * c.beams + beams[i]];
        if (beams[i] < 0)
          std::fill_n(&result.sids[out * kDepth], kDepth, -1);
        else
          sid_of(trie, leaves[beams[i]], &result.sids[out * kDepth]);
      }
    }
    return result;
  }

  Result run_cuda() const {
    BeamItemsCall call{};
    call.batch = c.batch;
    call.depth = kDepth;
    call.trie_index = {c.tries == 1 ? nullptr : trie_index.data(), false};
    for (int64_t t = 0; t < c.tries; ++t) {
      const RandomTrie& trie = *tries[t];
      call.tries[t] = {trie.first_child.data(),
                       trie.view.tokens,
                       trie.view.wide_tokens,
                       trie.view.num_nodes,
                       &trie.stamp,
                       c.has_mask ? masks[t].data() : nullptr,
                       (trie.view.num_items + 63) / 64,
                       true,
                       &mask_stamps[t]};
      call.items[t] = {ids[t].data(), rows[t].data(), c.has_priors ? priors[t].data() : nullptr,
                       static_cast<int64_t>(ids[t].size())};
    }
    call.num_tries = c.tries;
    if (c.bans > 0) call.bans = {bans.data(), static_cast<int64_t>(bans.size()), offsets.data(), ban_stamps.data()};
    call.beams = c.beams;
    call.num_beams = c.num_beams;
    const std::vector<int32_t> narrow(nodes.begin(), nodes.end());
    call.nodes = {c.wide_nodes ? static_cast<const void*>(nodes.data()) : narrow.data(), c.wide_nodes};
    call.scores = scores.data();
    call.has_priors = c.has_priors;
    Result result(c.batch, c.num_beams);
    call.item_ids = result.ids.data();
    call.sids = result.sids.data();
    call.new_scores = result.scores.data();
    std::vector<int32_t> workspace(beam_items_workspace_bytes(c.batch, c.num_beams) / sizeof(int32_t), -7);
    if (!supports_beam_items(c.batch, c.beams, c.num_beams, c.tries) ||
        beam_items(call, workspace.data(), nullptr) != cudaSuccess)
      throw emulation::KernelError("the call was refused");
    return result;
  }

  Case c;
  std::vector<std::unique_ptr<RandomTrie>> tries;
  std::vector<int32_t> trie_index;
  std::vector<std::vector<uint64_t>> masks;
  std::vector<std::vector<int64_t>> ids;
  std::vector<std::vector<int32_t>> rows;
  std::vector<std::vector<float>> priors;
  std::vector<int64_t> nodes, offsets{0}, ban_stamps, mask_stamps;
  std::vector<int32_t> bans;
  std::vector<float> scores;
};

// Calls check(result) for the result of every order of threads.
template <class Check>
bool in_orders(const Search& search, const Check& check) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    try {
      if (!check(search.run_cuda())) return false;
    } catch (const emulation::KernelError& error) {
      return fails(search.c, error.what());
    }
  }
  return true;
}

bool run(const Case& c) {
  const Search search(c);
  const Result expected = search.run_cpu();
  return in_orders(search, [&](const Result& actual) {
    for (int64_t b = 0; b < c.batch; ++b)
      if (!actual.has_row_of(expected, b, c.num_beams)) return fails(c, "row " + std::to_string(b) + " differs");
    return true;
  });
}

// Errors in the data of row 1 make that row NaN. The other rows stay unchanged.
template <class Damage>
bool is_noticed(const char* what, const Damage& damage, bool has_priors = false) {
  // With priors, some leaves are large.
  Case c{3, 9, has_priors ? 200 : 20, 300, has_priors ? 2 : 5, has_priors, true, 3, 2, true};
  Search search(c);
  search.trie_index = {0, 1, 0};
  for (int64_t b = 0; b < 3; ++b)
    for (int64_t m = 0; m < c.beams; ++m) {
      const Trie& trie = search.trie_of(b);
      const int64_t first = trie.level_starts[kDepth];
      search.nodes[b * c.beams + m] = first + 3 * m % (trie.num_nodes - first);
    }
  const Result before = search.run_cpu();
  damage(search);
  return in_orders(search, [&](const Result& actual) {
    if (!actual.is_poisoned(1, c.num_beams)) return fails(c, std::string(what) + " was not noticed");
    return (actual.has_row_of(before, 0, c.num_beams) && actual.has_row_of(before, 2, c.num_beams)) ||
           fails(c, std::string(what) + " changed another row");
  });
}

bool run_all() {
  bool good = true;
  const std::vector<Case> cases{
      {1, 1, 1, 1, 1},
      {0, 3, 4, 9, 3},
      {2, 0, 4, 9, 3},
      {2, 3, 5, 0, 3},
      {3, 300, 70, 900, 6},
      {2, 20, 300, 900, 4, false, true, 0, 1, true},
      {3, 20, 40, 700, 4, true, true, 90, 2},
      {2, 9, 60, 500, 9, true, false, 5},
      {2, 5, 900, 3000, 2, true},             // large leaves, of which all items are taken
      {2, 5, 30, 9000, 1, true, true, 40},    // one leaf of many rounds, of which few are taken
      {2, 5, 30, 9000, 1, false, true, 400},  // the same without priors
      {1, 4096, 4096, 5000, 30, true},        // the largest
  };
  for (const Case& c : cases) good &= run(c);
  good &= is_noticed("an inner node", [](Search& search) { search.nodes[9 + 4] = 0; });
  good &= is_noticed("a node past the trie", [](Search& search) { search.nodes[9] = search.trie_of(1).num_nodes; });
  good &= is_noticed("a negative node", [](Search& search) { search.nodes[9 + 8] = -2; });
  good &= is_noticed("a negative trie index", [](Search& search) { search.trie_index[1] = -1; });
  good &= is_noticed("a trie index past the tries", [](Search& search) { search.trie_index[1] = 2; });
  good &= is_noticed("a mask of another version", [](Search& search) { ++search.mask_stamps[1]; });
  good &= is_noticed("bans of another version", [](Search& search) { ++search.ban_stamps[1]; });
  good &= is_noticed("items of another trie", [](Search& search) { search.ids[1].pop_back(); });
  for (int32_t row : {-1, 307})
    good &= is_noticed(
        "a row outside", [&](Search& search) { std::fill(search.rows[1].begin(), search.rows[1].end(), row); }, true);
  good &= is_noticed(
      "a prior of NaN", [](Search& search) { std::fill(search.priors[1].begin(), search.priors[1].end(), kNan); },
      true);
  return good;
}

}  // namespace
}  // namespace recops::trie::cuda

int main() { return recops::trie::cuda::run_all() ? 0 : 1; }
