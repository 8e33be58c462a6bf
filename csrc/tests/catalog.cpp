// Load test of a live catalogue without torch and Python, for ThreadSanitizer and other sanitizers.
//
//   catalog SECONDS READERS
//
// One writer inserts, moves and removes items, and rolls back to earlier versions. Readers take snapshots and decode in
// them. Each snapshot must contain exactly what the writer put into its version. An item's id and the version that last
// changed its group determine its SID. Exit code 1 means that a snapshot differs from its version.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "catalog/catalog.h"
#include "trie/kernel.h"
#include "trie/lookup.h"

namespace recops::trie {
namespace {

const Kernels& best_kernels() { return RECOPS_SELECT_KERNELS(); }

}  // namespace
}  // namespace recops::trie

namespace recops::catalog {
namespace {

constexpr int64_t kGroups = 16, kGroupSize = 24, kDepth = 3, kVocab = 32, kBeams = 20, kHistory = 32;

// For each group of items, the version that assigned its SIDs, or 0 if the group is absent. The content of version v is
// written once, before v is published.
using Content = std::array<int64_t, kGroups>;

class Contents {
 public:
  void set(int64_t version, const Content& content) {
    const std::lock_guard lock(mutex_);
    if (static_cast<int64_t>(contents_.size()) <= version) contents_.resize(version + 1);
    contents_[version] = content;
  }
  Content get(int64_t version) const {
    const std::lock_guard lock(mutex_);
    return contents_[version];
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Content> contents_{Content{}};
};

// A SID that identifies the item and the assigning version, as far as three small tokens can.
int64_t token_of_item(int64_t id, int64_t version, int64_t level) {
  const uint64_t mixed = static_cast<uint64_t>(id * 31 + version * 1009 + level * 7) * 0x9e3779b97f4a7c15u;
  return static_cast<int64_t>(mixed >> 40) % (level == 0 ? 4 : kVocab);
}

uint64_t next(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 16;
}

void write(Catalog& catalog, Contents& contents, const std::atomic<bool>& done) {
  uint64_t random = 88172645463325252u;
  Content content{};
  int64_t last = 0;
  while (!done) {
    const auto group = static_cast<int64_t>(next(random) % kGroups);
    std::vector<int64_t> ids(kGroupSize), sids(kGroupSize * kDepth);
    for (int64_t i = 0; i < kGroupSize; ++i) {
      ids[i] = group * kGroupSize + i;
      for (int64_t level = 0; level < kDepth; ++level)
        sids[i * kDepth + level] = token_of_item(ids[i], last + 1, level);
    }
    const uint64_t choice = next(random) % 8;
    if (choice == 0) {
      const int64_t oldest = std::max<int64_t>(0, last - kHistory);
      const int64_t version = oldest + static_cast<int64_t>(next(random) % (last - oldest + 1));
      catalog.rollback(version);
      content = contents.get(version);
    } else if (choice <= 2 && content[group] != 0) {
      content[group] = 0;
      contents.set(++last, content);
      catalog.remove(ids.data(), ids.size(), false);
    } else {
      content[group] = ++last;
      contents.set(last, content);
      catalog.insert(ids.data(), sids.data(), ids.size(), true);
    }
  }
}

// Whether the tables contain exactly the items of `content`.
bool holds(const Tables& tables, const Content& content) {
  int64_t expected = 0;
  for (int64_t group = 0; group < kGroups; ++group) expected += content[group] != 0 ? kGroupSize : 0;
  bool good = tables.num_items() == expected;
  for (int64_t id = 0; id < kGroups * kGroupSize; ++id) {
    const int64_t version = content[id / kGroupSize], position = tables.items().position(id);
    good &= (position >= 0) == (version != 0);
    if (position < 0 || version == 0) continue;
    int64_t sid[kDepth];
    for (int64_t level = 0; level < kDepth; ++level) sid[level] = token_of_item(id, version, level);
    const int64_t leaf = trie::find_node(tables.trie(), {sid, true}, 0, kDepth);
    if (leaf < 0) return false;
    const trie::Interval items = trie::items_below(tables.trie(), {leaf, leaf + 1}, kDepth);
    good &= items.begin <= position && position < items.end;
  }
  return good;
}

// Runs a beam search; every beam must end in a leaf.
bool decode(const trie::Trie& trie, uint64_t& random) {
  const trie::Kernels& kernels = trie::best_kernels();
  std::vector<int32_t> nodes{0}, tokens(kBeams), parents(kBeams), new_nodes(kBeams);
  std::vector<float> scores{0}, new_scores(kBeams);
  for (int64_t level = 0; level < kDepth; ++level) {
    const auto width = static_cast<int64_t>(nodes.size());
    std::vector<float> logits(width * kVocab);
    for (float& logit : logits) logit = static_cast<float>(next(random) % 4096) / -512.0f;
    const trie::BeamStep step{Dtype::f32, kVocab, kVocab, kBeams, trie::Normalize::vocab};
    const trie::BeamRow row{trie, {}, logits.data(), nodes.data(), scores.data(), nullptr};
    std::vector<char> pool(kernels.pool_bytes(Dtype::f32, kBeams)), scratch(kernels.scratch_bytes(Dtype::f32, kVocab));
    const int64_t count = kernels.scan(step, row, 0, 1, width, kBeams, pool.data(), scratch.data());
    if (count < 0) return false;
    kernels.merge(step, row, kBeams, &count, 1, pool.data(),
                  {new_scores.data(), tokens.data(), parents.data(), new_nodes.data()});
    nodes = new_nodes;
    scores = new_scores;
  }
  for (int32_t node : nodes)
    if (node >= 0 && node < trie.level_starts[kDepth]) return false;
  return nodes[0] >= 0 || trie.num_nodes == 1;
}

struct Tally {
  int64_t snapshots = 0, wrong = 0, newest = 0;
};

Tally read(const Catalog& catalog, const Contents& contents, const std::atomic<bool>& done, uint64_t seed) {
  Tally tally;
  uint64_t random = seed;
  while (!done) {
    const Snapshot snapshot = catalog.snapshot();
    const bool good = holds(*snapshot.tables, contents.get(snapshot.version)) &&
                      decode(snapshot.tables->trie(), random) && snapshot.version <= snapshot.last_version;
    ++tally.snapshots;
    tally.wrong += good ? 0 : 1;
    tally.newest = std::max(tally.newest, snapshot.version);
  }
  return tally;
}

bool run(double seconds, int readers) {
  Catalog catalog(std::vector<int64_t>(kDepth, kVocab), kHistory);
  Contents contents;
  std::atomic<bool> done = false;
  std::vector<Tally> tallies(readers);
  std::vector<std::thread> threads;
  for (int i = 0; i < readers; ++i)
    threads.emplace_back([&, i] { tallies[i] = read(catalog, contents, done, 977 + static_cast<uint64_t>(i)); });
  threads.emplace_back([&] { write(catalog, contents, done); });
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  done = true;
  for (std::thread& thread : threads) thread.join();

  Tally all;
  for (const Tally& tally : tallies) {
    all.snapshots += tally.snapshots;
    all.wrong += tally.wrong;
    all.newest = std::max(all.newest, tally.newest);
  }
  std::printf("%lld snapshots up to version %lld, %lld of them wrong\n", static_cast<long long>(all.snapshots),
              static_cast<long long>(all.newest), static_cast<long long>(all.wrong));
  return all.wrong == 0 && all.snapshots > 0 && all.newest > 0;
}

}  // namespace
}  // namespace recops::catalog

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s SECONDS READERS\n", argv[0]);
    return 2;
  }
  return recops::catalog::run(std::atof(argv[1]), std::atoi(argv[2])) ? 0 : 1;
}
