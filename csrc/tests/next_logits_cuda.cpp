// Runs the CUDA kernel of next logits on the host and compares its bits with next_logits.h on the CPU.
//
//   next_logits_cuda [f32|bf16|f16|f64]
//
// Each case runs in every order of threads, into another array and in place. Exit code 1 means a difference.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "random_trie.h"
#include "trie/cuda.cu"
#include "trie/next_logits.h"

namespace recops::trie::cuda {
namespace {

constexpr int64_t kDepth = 3, kBeginToken = 1;

struct Case {
  int64_t rows, vocab, items;
  int64_t level_vocab = 13;
  int64_t masks = 0;  // 0: none; 1: for all rows; otherwise one for rows / masks rows each
  int64_t prompt_length = -1;
  int64_t length = 9;
  bool consecutive = false;  // whether model tokens of a level are consecutive numbers
  bool wide_tokens = false;
  int64_t end_tokens = 2;
  int64_t shift = 0;  // of the rows, in elements from an address of 16 bytes
};

struct Patterns {
  uint64_t forbidden, nan;
};

template <class Bits>
class Step {
 public:
  explicit Step(const Case& c)
      : c(c),
        trie(c.items, c.level_vocab, kDepth, c.wide_tokens),
        mask_stamp(trie.stamp),
        width(c.vocab - c.vocab / 5) {
    // Each model token stands for one token of one level, or for none.
    std::vector<int32_t> columns(width);
    for (int64_t i = 0; i < width; ++i) columns[i] = static_cast<int32_t>(i);
    if (!c.consecutive)
      for (int64_t i = width - 1; i > 0; --i) std::swap(columns[i], columns[next_bits() % (i + 1)]);
    trie_tokens.assign(kDepth * width, -1);
    level_begins.push_back(0);
    for (int64_t level = 0; level < kDepth; ++level) {
      for (int64_t token = 0; token < c.level_vocab; ++token) {
        const int32_t column = columns[2 + level * c.level_vocab + token];
        model_tokens.push_back(column);
        trie_tokens[level * width + column] = static_cast<int32_t>(token);
      }
      level_begins.push_back(level_begins.back() + c.level_vocab);
    }
    if (c.masks > 0) masks = trie.mask(c.masks, 4);
    for (int64_t i = 0; i < c.end_tokens; ++i) end_tokens.push_back(next_bits() % c.vocab);
    for (int64_t i = 0; i < c.rows * c.length; ++i) sequences.push_back(next_bits() % (c.vocab + 2));
    for (int64_t row = 0; row < c.rows; ++row) write_path(row);
    logits.resize(c.shift + c.rows * c.vocab);
    for (Bits& bits : logits) bits = static_cast<Bits>(next_bits());
  }

  // `is_in_place` writes over the logits.
  std::vector<Bits> run_cuda(Dtype dtype, bool is_in_place) const {
    std::vector<Bits> from = logits, out(is_in_place ? 0 : logits.size(), Bits{0x5a});
    std::vector<Bits>& to = is_in_place ? from : out;
    NextLogitsCall call{};
    call.dtype = dtype;
    call.rows = c.rows;
    call.vocab = c.vocab;
    call.length = c.length;
    call.logits = from.data() + c.shift;
    call.out = to.data() + c.shift;
    call.sequences = sequences.data();
    call.prompt_length = c.prompt_length;
    call.begin_token = kBeginToken;
    call.trie = {trie.first_child.data(),
                 trie.view.tokens,
                 c.wide_tokens,
                 trie.view.num_nodes,
                 &trie.stamp,
                 c.masks > 0 ? masks.data() : nullptr,
                 (trie.view.num_items + 63) / 64,
                 c.masks > 1,
                 &mask_stamp};
    call.num_masks = std::max<int64_t>(1, c.masks);
    call.rows_per_mask = c.rows / call.num_masks;
    call.depth = kDepth;
    std::copy(level_begins.begin(), level_begins.end(), call.level_begins);
    call.model_tokens = model_tokens.data();
    call.trie_tokens = trie_tokens.data();
    call.width = width;
    std::copy(end_tokens.begin(), end_tokens.end(), call.end_tokens);
    call.num_end_tokens = c.end_tokens;
    if (!supports_next_logits(c.rows, c.vocab, kDepth, c.end_tokens) || next_logits(call, nullptr) != cudaSuccess)
      throw emulation::KernelError("the call was refused");
    return {to.begin() + c.shift, to.end()};
  }

  std::vector<Bits> run_cpu(Bits forbidden) const {
    std::vector<Bits> out(logits.begin() + c.shift, logits.end());
    bool consecutive[kDepth];
    std::fill_n(consecutive, kDepth, c.consecutive);
    const TokenMap map{model_tokens.data(), level_begins.data(), trie_tokens.data(), width, consecutive};
    const SidStart start{c.prompt_length, kBeginToken};
    const int64_t rows_per_mask = c.rows / std::max<int64_t>(1, c.masks);
    for (int64_t row = 0; row < c.rows; ++row) {
      const int64_t* sequence = sequences.data() + row * c.length;
      const int64_t level = start.tokens_so_far(sequence, c.length, kDepth);
      if (level > kDepth && c.prompt_length < 0) continue;
      Bits* of_row = out.data() + row * c.vocab;
      const std::vector<Bits> before(of_row, of_row + c.vocab);
      std::fill_n(of_row, c.vocab, forbidden);
      bool goes_on = false;
      int64_t scratch[kDepth];
      const int64_t node =
          level < kDepth ? node_of_tail(trie.view, map, sequence, c.length, level, scratch) : int64_t{-1};
      ItemFilter filter;
      if (c.masks > 0)
        filter.mask = masks.data() + (c.masks > 1 ? row / rows_per_mask : 0) * ((trie.view.num_items + 63) / 64);
      if (node >= 0)
        for_allowed_children(trie.view, map, node, level, filter, [&](int64_t token, int64_t count) {
          std::copy_n(before.begin() + token, count, of_row + token);
          goes_on = true;
        });
      if (!goes_on)
        for (int64_t token : end_tokens) of_row[token] = 0;
    }
    return out;
  }

  Case c;
  RandomTrie trie;
  int64_t mask_stamp, width;
  std::vector<int32_t> model_tokens, trie_tokens;
  std::vector<int64_t> level_begins, end_tokens, sequences;
  std::vector<uint64_t> masks;
  std::vector<Bits> logits;

 private:
  // Ends the sequence with a path of the trie. Some rows have a path that leaves the trie, or no begin token.
  void write_path(int64_t row) {
    int64_t* sequence = sequences.data() + row * c.length;
    const int64_t begin =
        c.prompt_length >= 0 ? c.prompt_length : 2 + static_cast<int64_t>(next_bits() % (c.length - 2));
    std::replace(sequence, sequence + c.length, kBeginToken, int64_t{0});
    if (begin > 0 && row % 7 != 6) sequence[begin - 1] = kBeginToken;
    int64_t node = 0;
    for (int64_t i = begin, level = 0; i < c.length && level < kDepth; ++i, ++level) {
      const Interval children = children_of(trie.view, node);
      if (children.begin == children.end || row % 5 == 4) return;
      node = children.begin + static_cast<int64_t>(next_bits() % (children.end - children.begin));
      sequence[i] = model_tokens[level_begins[level] + token_of(trie.view, node)];
    }
  }
};

bool fails(const Case& c, const std::string& what) {
  std::printf("rows %d, vocab %d, items %d, masks %d: %s\n", static_cast<int>(c.rows), static_cast<int>(c.vocab),
              static_cast<int>(c.items), static_cast<int>(c.masks), what.c_str());
  return false;
}

// Compares each order of threads with the expected bits.
template <class Bits>
bool is_result(const Step<Bits>& step, Dtype dtype, const std::vector<Bits>& expected) {
  for (int i = 0; i < 2 * emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i / 2);
    try {
      const std::vector<Bits> result = step.run_cuda(dtype, i % 2 == 1);
      const auto [at, _] = std::mismatch(result.begin(), result.end(), expected.begin());
      if (at != result.end())
        return fails(step.c, "element " + std::to_string(at - result.begin()) + " differs from the CPU's");
    } catch (const emulation::KernelError& error) {
      return fails(step.c, error.what());
    }
  }
  return true;
}

template <class Bits>
bool run(Dtype dtype, Patterns patterns) {
  const std::vector<Case> cases{
      {1, 60, 1},
      {0, 60, 40},
      {9, 97, 300},
      {9, 97, 0},
      {12, 131, 300, 13, 1, -1, 9, true, true},
      {12, 128, 300, 13, 4, -1, 9, false, false, 0, 3},
      {8, 90, 300, 13, 8, 7},
      {8, 90, 300, 13, 0, 9, 9, true},                      // no token of the semantic ID yet
      {8, 90, 300, 13, 0, 3, 9},                            // more tokens than levels
      {3, 4000, 5000, 1000, 3, -1, 6, false, false, 1, 1},  // many children, and a search in several steps
      {1, 1 << 20, 50, 13, 0, -1, 5},                       // the largest vocabulary
  };
  bool good = true;
  for (const Case& c : cases) {
    const Step<Bits> step(c);
    good &= is_result(step, dtype, step.run_cpu(static_cast<Bits>(patterns.forbidden)));
  }

  // Errors in the data make their rows NaN.
  const auto noticed = [&](const char* what, const auto& damage) {
    Step<Bits> step({1, 97, 300, 13, 1, 9});
    damage(step);
    std::vector<Bits> nan(step.c.vocab, static_cast<Bits>(patterns.nan));
    good &= is_result(step, dtype, nan) || fails(step.c, std::string(what) + " was not noticed");
  };
  noticed("a mask of another version", [](auto& step) { ++step.mask_stamp; });
  noticed("a model token past the vocabulary", [](auto& step) { step.model_tokens[0] = 97; });
  noticed("a negative model token", [](auto& step) { step.model_tokens[0] = -1; });
  noticed("a token past the level", [](auto& step) { step.trie.narrow[1] = 13; });
  noticed("children that overlap", [](auto& step) { step.trie.first_child[1] = 0; });
  return good;
}

}  // namespace
}  // namespace recops::trie::cuda

int main(int argc, char** argv) {
  using namespace recops::trie::cuda;
  using recops::Dtype;
  const std::string dtype = argc > 1 ? argv[1] : "f32";
  const bool good = dtype == "f64"    ? run<uint64_t>(Dtype::f64, {0xfff0000000000000, 0x7ff8000000000000})
                    : dtype == "bf16" ? run<uint16_t>(Dtype::bf16, {0xff80, 0x7fc0})
                    : dtype == "f16"  ? run<uint16_t>(Dtype::f16, {0xfc00, 0x7e00})
                                      : run<uint32_t>(Dtype::f32, {0xff800000, 0x7fc00000});
  return good ? 0 : 1;
}
