// Builds a trie of random semantic IDs and decodes in it without torch and Python, for sanitizers and callgrind.
//
//   trie ITEMS VOCAB DEPTH BEAMS [vocab|children|none] [all|half] [f32|bf16|f16|f64]
//
// `half` masks every second item. The data is the same in every run. Each level is one beam search step with the beams
// in two chunks. Outputs, pools and scratch are filled with 0xff (NaN or −1) and surrounded by guard values first.
// Every resulting beam must be a prefix in the trie with an allowed item below it. Exit code 1 means an unwritten
// output, an overwritten guard value or an invalid beam. Checksums on stdout allow comparison between runs.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "random.h"
#include "trie/build.h"
#include "trie/kernel.h"
#include "trie/lookup.h"

namespace recops::trie {
namespace {

constexpr int64_t kFence = 64;  // bytes

// Bytes between two guard regions, initially all 0xff: NaN or −1.
class Bytes {
 public:
  explicit Bytes(int64_t size)
      : memory_(static_cast<unsigned char*>(std::aligned_alloc(64, (size + 63) / 64 * 64 + 2 * kFence)), &std::free),
        size_(size) {
    std::memset(memory_.get(), 0xff, size + 2 * kFence);
  }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_.get() + kFence);
  }

  bool fences_hold() const {
    bool hold = true;
    for (int64_t i = 0; i < kFence; ++i) hold &= memory_.get()[i] == 0xff && memory_.get()[kFence + size_ + i] == 0xff;
    return hold;
  }

 private:
  std::unique_ptr<unsigned char, decltype(&std::free)> memory_;
  int64_t size_;
};

struct Settings {
  int64_t items, vocab, depth, beams;
  Normalize normalize;
  bool masked;
  Dtype dtype;
};

// Random SIDs and their trie. Tokens are squares of uniform numbers, so that branches have different sizes.
class Catalogue {
 public:
  explicit Catalogue(const Settings& s) : sids(s.items * s.depth) {
    for (int32_t& token : sids) {
      const double uniform = next_bits() / 4294967296.0;
      token = static_cast<int32_t>(uniform * uniform * static_cast<double>(s.vocab));
    }
    const Builder builder(sids.data(), s.items, std::vector<int64_t>(s.depth, s.vocab));
    first_child_.resize(builder.num_nodes() + 1);
    tokens_.resize(builder.num_nodes());
    rows.resize(s.items);
    builder.fill(first_child_.data(), tokens_.data(), rows.data());
    level_starts_.assign(1, 0);
    for (int64_t level = 0; level < s.depth; ++level) level_starts_.push_back(first_child_[level_starts_.back()]);
    level_starts_.push_back(builder.num_nodes());
    view = {.first_child = first_child_.data(),
            .tokens = tokens_.data(),
            .wide_tokens = false,
            .num_nodes = builder.num_nodes(),
            .num_items = s.items,
            .depth = s.depth,
            .level_starts = level_starts_.data()};
  }

  Trie view;
  std::vector<int32_t> sids, rows;

 private:
  std::vector<int32_t> first_child_;
  std::vector<uint16_t> tokens_;
  std::vector<int64_t> level_starts_;
};

// Random values from −8 to 0 in their storage type.
Bytes random_logits(int64_t count, Dtype dtype) {
  Bytes bytes(count * (dtype == Dtype::f64 ? 8 : dtype == Dtype::f32 ? 4 : 2));
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(next_bits() >> 8) / -2097152.0f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    switch (dtype) {
      case Dtype::f64: bytes.as<double>()[i] = value; break;
      case Dtype::f32: bytes.as<float>()[i] = value; break;
      case Dtype::bf16: bytes.as<uint16_t>()[i] = static_cast<uint16_t>(bits >> 16); break;
      case Dtype::f16: bytes.as<uint16_t>()[i] = static_cast<uint16_t>(0xc000 | (bits >> 13 & 0xfff)); break;
    }
  }
  return bytes;
}

bool is_prefix(const Trie& trie, const std::vector<int64_t>& path, int64_t node) {
  const Indices sid{path.data(), true};
  return find_node(trie, sid, 0, static_cast<int64_t>(path.size())) == node;
}

template <class T>
bool decode(const Settings& s, const Catalogue& catalogue, MaskBits mask) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const Trie& trie = catalogue.view;
  std::vector<int32_t> nodes{0};
  std::vector<T> scores{0};
  std::vector<std::vector<int64_t>> paths{{}};
  bool good = true;
  for (int64_t level = 0; level < s.depth; ++level) {
    const int64_t width = static_cast<int64_t>(nodes.size());
    Bytes logits = random_logits(width * s.vocab, s.dtype);
    const BeamStep step{s.dtype, s.vocab, s.vocab, s.beams, s.normalize};
    const BeamRow row{trie, {mask}, logits.as<void>(), nodes.data(), scores.data(), nullptr};
    const int64_t pool_bytes = kernels.pool_bytes(s.dtype, s.beams);
    Bytes pools(2 * pool_bytes), scratch(kernels.scratch_bytes(s.dtype, s.vocab));
    const int64_t counts[] = {
        kernels.scan(step, row, 0, 2, width, s.beams, pools.as<char>(), scratch.as<void>()),
        kernels.scan(step, row, 1, 2, width, s.beams, pools.as<char>() + pool_bytes, scratch.as<void>())};
    Bytes new_scores(s.beams * int64_t{sizeof(T)}), tokens(s.beams * 4), parents(s.beams * 4), new_nodes(s.beams * 4);
    kernels.merge(step, row, s.beams, counts, 2, pools.as<void>(),
                  {new_scores.as<void>(), tokens.as<int32_t>(), parents.as<int32_t>(), new_nodes.as<int32_t>()});
    for (const Bytes* bytes : {&logits, &pools, &scratch, &new_scores, &tokens, &parents, &new_nodes})
      good &= bytes->fences_hold();

    double sum = 0;
    int64_t found = 0;
    std::vector<std::vector<int64_t>> new_paths(s.beams);
    for (int64_t i = 0; i < s.beams; ++i) {
      const int32_t node = new_nodes.as<int32_t>()[i];
      const T score = new_scores.as<T>()[i];
      good &= score == score;
      if (node < 0) continue;
      ++found;
      sum += static_cast<double>(score);
      new_paths[i] = paths[parents.as<int32_t>()[i]];
      new_paths[i].push_back(tokens.as<int32_t>()[i]);
      good &= is_prefix(trie, new_paths[i], node) &&
              (mask == nullptr || any_allowed(mask, items_below(trie, {node, node + 1}, level + 1)));
    }
    std::printf("level %d: %d beams, %.6g\n", static_cast<int>(level), static_cast<int>(found), sum);
    nodes.assign(new_nodes.as<int32_t>(), new_nodes.as<int32_t>() + s.beams);
    scores.assign(new_scores.as<T>(), new_scores.as<T>() + s.beams);
    paths = std::move(new_paths);
  }
  return good;
}

bool run(const Settings& s) {
  const Catalogue catalogue(s);
  const Indices sids{catalogue.sids.data(), false};
  bool good = true;
  for (int64_t row = 0; row < s.items; ++row)
    good &= find_node(catalogue.view, sids, row * s.depth, s.depth) >= catalogue.view.level_starts[s.depth];

  std::vector<int64_t> positions;
  for (int64_t p = 0; p < s.items; p += 2) positions.push_back(p);
  Bytes words((s.items + 63) / 64 * 8);
  pack_mask(positions.data(), static_cast<int64_t>(positions.size()), true, s.items, words.as<uint64_t>());
  const MaskBits mask = s.masked ? words.as<uint64_t>() : nullptr;
  good &= s.dtype == Dtype::f64 ? decode<double>(s, catalogue, mask) : decode<float>(s, catalogue, mask);
  if (!good) std::puts("an output unwritten, a sentinel overwritten, or a beam that is no prefix");
  return good && words.fences_hold();
}

}  // namespace
}  // namespace recops::trie

int main(int argc, char** argv) {
  using namespace recops::trie;
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s ITEMS VOCAB DEPTH BEAMS [vocab|children|none] [all|half] [f32|bf16|f16|f64]\n",
                 argv[0]);
    return 2;
  }
  const auto word = [&](int i, const char* otherwise) { return std::string(i < argc ? argv[i] : otherwise); };
  const std::string normalize = word(5, "vocab"), dtype = word(7, "f32");
  const Settings settings{std::atoll(argv[1]),
                          std::atoll(argv[2]),
                          std::atoll(argv[3]),
                          std::atoll(argv[4]),
                          normalize == "none"       ? Normalize::none
                          : normalize == "children" ? Normalize::children
                                                    : Normalize::vocab,
                          word(6, "all") == "half",
                          dtype == "f64"    ? recops::Dtype::f64
                          : dtype == "bf16" ? recops::Dtype::bf16
                          : dtype == "f16"  ? recops::Dtype::f16
                                            : recops::Dtype::f32};
  return run(settings) ? 0 : 1;
}
