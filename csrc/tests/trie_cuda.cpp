// Runs the CUDA kernels of a beam search step on the host and compares them with the CPU kernel.
//
//   trie_cuda shapes|sizes|errors [f32|bf16|f16]
//
// Each case runs in every order of threads, whose results must have the same bits. Arrays have exactly their sizes and
// are filled with NaN or −1 first. Without a normalizer, results must equal the CPU's. With one, scores may differ by
// 1e-5 of their size, and candidates only where scores are that close. Exit code 1 means a difference.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "random_trie.h"
#include "trie/cuda.cu"

namespace recops::trie::cuda {
namespace {

constexpr double kTolerance = 1e-5;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

enum class Masks { none, shared, per_row };

struct Case {
  int64_t batch, beams, vocab, num_beams, items;
  Masks masks = Masks::none;
  int64_t bans = 0;  // per row
  int64_t tries = 1;
  bool wide_tokens = false, wide_nodes = false;
  int64_t shift = 0;    // of the logits, in elements from an address of 16 bytes
  int64_t padding = 0;  // logits between two beams
  Normalize normalize = Normalize::vocab;
  Dtype dtype = Dtype::f32;
};

const char* name_of(Normalize normalize) {
  return normalize == Normalize::vocab ? "vocab" : normalize == Normalize::children ? "children" : "none";
}

double uniform() { return next_bits() / 4294967296.0; }

// A multiple of 1/16 from −8 to 0, so that there are ties. Zeros have both signs.
float random_value() {
  if (next_bits() % 8 == 0) return next_bits() % 2 == 0 ? 0.0f : -0.0f;
  return static_cast<float>(std::floor(uniform() * 128) / 16 - 8);
}

// Logits in their storage type.
class StoredLogits {
 public:
  StoredLogits(Dtype dtype, int64_t shift, int64_t count)
      : dtype_(dtype), shift_(shift), bytes_(new unsigned char[(shift + count) * size()]) {
    for (int64_t i = 0; i < count; ++i) set(i, random_value());
  }

  const void* data() const { return bytes_.get() + shift_ * size(); }

  void set(int64_t i, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    unsigned char* to = bytes_.get() + (shift_ + i) * size();
    uint16_t half = static_cast<uint16_t>(bits >> 16);
    if (dtype_ == Dtype::f16) {
      const auto narrow = static_cast<_Float16>(value);
      std::memcpy(&half, &narrow, sizeof(half));
    }
    if (dtype_ == Dtype::f32)
      std::memcpy(to, &bits, sizeof(bits));
    else
      std::memcpy(to, &half, sizeof(half));
  }

  float operator[](int64_t i) const {
    return with_device_type(dtype_, [&](auto s) {
      std::memcpy(&s, bytes_.get() + (shift_ + i) * size(), sizeof(s));
      return to_float(s);
    });
  }

 private:
  int64_t size() const { return dtype_ == Dtype::f32 ? 4 : 2; }

  Dtype dtype_;
  int64_t shift_;
  std::unique_ptr<unsigned char[]> bytes_;
};

struct Result {
  std::vector<float> scores;
  std::vector<int32_t> tokens, parents, nodes;
  explicit Result(int64_t count) : scores(count, kNan), tokens(count, -2), parents(count, -2), nodes(count, -2) {}

  bool has_bits_of(const Result& other) const {
    const auto same_bits = [](float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); };
    return std::equal(scores.begin(), scores.end(), other.scores.begin(), same_bits) && tokens == other.tokens &&
           parents == other.parents && nodes == other.nodes;
  }
};

// The inputs of a step, and runs of both kernels on them.
class Step {
 public:
  explicit Step(const Case& c)
      : c(c),
        beam_stride(c.vocab + c.padding),
        row_stride(c.beams * beam_stride + 2 * c.padding),
        logits(c.dtype, c.shift, std::max<int64_t>(0, (c.batch - 1) * row_stride + c.beams * beam_stride - c.padding)),
        nodes(c.batch * c.beams),
        scores(c.batch * c.beams) {
    for (int64_t t = 0; t < c.tries; ++t) {
      tries.push_back(std::make_unique<RandomTrie>(c.items + 7 * t, c.vocab, 3, c.wide_tokens));
      if (c.masks != Masks::none) masks.push_back(tries[t]->mask(c.masks == Masks::shared ? 1 : c.batch, 3));
      ban_stamps.push_back(tries[t]->stamp);
      mask_stamps.push_back(tries[t]->stamp);
    }
    for (int64_t b = 0; b < c.batch; ++b) {
      trie_index.push_back(static_cast<int32_t>(next_bits() % c.tries));
      for (int64_t m = 0; m < c.beams; ++m) set_beam(b, m);
      add_bans(b);
    }
  }

  const RandomTrie& trie_of(int64_t b) const { return *tries[trie_index[b]]; }
  float& score(int64_t b, int64_t m) { return scores[b * c.beams + m]; }
  int64_t& node(int64_t b, int64_t m) { return nodes[b * c.beams + m]; }
  int64_t logit_index(int64_t b, int64_t m, int64_t token) const { return b * row_stride + m * beam_stride + token; }

  Result run_cuda() const {
    BeamStepCall call{};
    call.dtype = c.dtype;
    call.normalize = c.normalize;
    call.batch = c.batch;
    call.beams = c.beams;
    call.vocab = c.vocab;
    call.num_beams = c.num_beams;
    call.depth = 3;
    call.logits = logits.data();
    call.row_stride = row_stride;
    call.beam_stride = beam_stride;
    const std::vector<int32_t> narrow(nodes.begin(), nodes.end());
    call.nodes = {c.wide_nodes ? static_cast<const void*>(nodes.data()) : narrow.data(), c.wide_nodes};
    call.scores = scores.data();
    call.trie_index = {c.tries == 1 ? nullptr : trie_index.data(), false};
    for (int64_t t = 0; t < c.tries; ++t) {
      const RandomTrie& trie = *tries[t];
      const bool has_mask = c.masks != Masks::none;
      call.tries[t] = {trie.first_child.data(),
                       trie.view.tokens,
                       c.wide_tokens,
                       trie.view.num_nodes,
                       &trie.stamp,
                       has_mask ? masks[t].data() : nullptr,
                       (trie.view.num_items + 63) / 64,
                       c.masks == Masks::per_row,
                       &mask_stamps[t]};
    }
    call.num_tries = c.tries;
    if (c.bans > 0) call.bans = {bans.data(), static_cast<int64_t>(bans.size()), ban_offsets.data(), ban_stamps.data()};
    Result result(c.batch * c.num_beams);
    call.new_scores = result.scores.data();
    call.new_tokens = result.tokens.data();
    call.parents = result.parents.data();
    call.new_nodes = result.nodes.data();
    std::vector<unsigned char> workspace(beam_step_workspace_bytes(c.batch, c.beams, c.vocab, c.num_beams), 0xff);
    if (!supports_beam_step(c.dtype, c.batch, c.beams, c.vocab, c.num_beams, c.tries) ||
        beam_step(call, workspace.data(), nullptr) != cudaSuccess)
      throw emulation::KernelError("the step was refused");
    return result;
  }

  Result run_cpu() const {
    const Kernels& kernels = RECOPS_SELECT_KERNELS();
    Result result(c.batch * c.num_beams);
    std::vector<char> pool(kernels.pool_bytes(c.dtype, c.num_beams)), scratch(kernels.scratch_bytes(c.dtype, c.vocab));
    for (int64_t b = 0; b < c.batch; ++b) {
      std::vector<int32_t> of_row(nodes.begin() + b * c.beams, nodes.begin() + (b + 1) * c.beams);
      const BeamStep step{c.dtype, beam_stride, c.vocab, c.num_beams, c.normalize};
      const char* of_logits =
          static_cast<const char*>(logits.data()) + b * row_stride * (c.dtype == Dtype::f32 ? 4 : 2);
      const BeamRow row{trie_of(b).view, filter(b), of_logits, of_row.data(), scores.data() + b * c.beams, nullptr};
      const int64_t count = kernels.scan(step, row, 0, 1, c.beams, c.num_beams, pool.data(), scratch.data());
      if (count < 0) throw std::runtime_error("the CPU kernel found an error");
      const int64_t out = b * c.num_beams;
      kernels.merge(step, row, c.num_beams, &count, 1, pool.data(),
                    {&result.scores[out], &result.tokens[out], &result.parents[out], &result.nodes[out]});
    }
    return result;
  }

  // Score of a candidate in double precision.
  double expected(int64_t b, int64_t m, int64_t child) const {
    const Trie& trie = trie_of(b).view;
    const Interval children = children_of(trie, nodes[b * c.beams + m]);
    std::vector<double> among;
    if (c.normalize == Normalize::vocab)
      for (int64_t v = 0; v < c.vocab; ++v) among.push_back(logits[logit_index(b, m, v)]);
    if (c.normalize == Normalize::children)
      for (int64_t i = children.begin; i < children.end; ++i)
        if (is_allowed(b, i)) among.push_back(logits[logit_index(b, m, token_of(trie, i))]);
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (double value : among) max = std::max(max, value);
    for (double value : among) sum += std::exp(value - max);
    const double normalizer = among.empty() ? 0 : max + std::log(sum);
    return logits[logit_index(b, m, token_of(trie, child))] - normalizer + scores[b * c.beams + m];
  }

  bool is_allowed(int64_t b, int64_t node) const {
    const Trie& trie = trie_of(b).view;
    const ItemFilter of_row = filter(b);
    return allows_all(of_row) || allows_any(of_row, items_below(trie, {node, node + 1}, level_of(trie, node)));
  }

  Case c;
  int64_t beam_stride, row_stride;
  StoredLogits logits;
  std::vector<int64_t> nodes;
  std::vector<float> scores;
  std::vector<std::unique_ptr<RandomTrie>> tries;
  std::vector<int32_t> trie_index;
  std::vector<std::vector<uint64_t>> masks;
  std::vector<int32_t> bans;
  std::vector<int64_t> ban_offsets{0}, ban_stamps, mask_stamps;

 private:
  // A node of any level; every fifth beam is dead.
  void set_beam(int64_t b, int64_t m) {
    const Trie& trie = trie_of(b).view;
    const int64_t level = next_bits() % 4, first = trie.level_starts[level];
    const int64_t count = trie.level_starts[level + 1] - first;
    node(b, m) = count == 0 ? 0 : first + next_bits() % count;
    score(b, m) = random_value();
    if (next_bits() % 5 == 0) {
      const bool has_node = next_bits() % 2 == 0;
      if (!has_node) node(b, m) = -1;
      score(b, m) = has_node ? -std::numeric_limits<float>::infinity() : kNan;
      // The logits of a dead beam are not read.
      if (c.vocab > 0) logits.set(logit_index(b, m, 0), kNan);
    }
  }

  void add_bans(int64_t b) {
    const size_t begin = bans.size();
    for (int64_t i = 0; i < c.bans; ++i)
      bans.push_back(next_bits() % 4 == 0 || trie_of(b).view.num_items == 0
                         ? -1
                         : static_cast<int32_t>(next_bits() % trie_of(b).view.num_items));
    std::sort(bans.begin() + begin, bans.end());
    ban_offsets.push_back(static_cast<int64_t>(bans.size()));
  }

  ItemFilter filter(int64_t b) const {
    ItemFilter of_row;
    if (c.masks != Masks::none) {
      const int64_t width = (trie_of(b).view.num_items + 63) / 64;
      of_row.mask = masks[trie_index[b]].data() + (c.masks == Masks::per_row ? b * width : 0);
    }
    if (c.bans > 0) {
      of_row.bans = bans.data() + ban_offsets[b];
      of_row.bans_end = bans.data() + ban_offsets[b + 1];
    }
    return of_row;
  }
};

bool fails(const Case& c, const std::string& what) {
  std::printf("batch %d, beams %d, vocab %d, num_beams %d, items %d, normalize %s, dtype %d: %s\n",
              static_cast<int>(c.batch), static_cast<int>(c.beams), static_cast<int>(c.vocab),
              static_cast<int>(c.num_beams), static_cast<int>(c.items), name_of(c.normalize), static_cast<int>(c.dtype),
              what.c_str());
  return false;
}

bool is_close(double a, double b) { return std::abs(a - b) <= kTolerance * std::max(1.0, std::abs(b)); }

// Compares the beams of row b.
bool agree(const Step& step, int64_t b, const Result& gpu, const Result& cpu) {
  const Case& c = step.c;
  for (int64_t i = b * c.num_beams; i < (b + 1) * c.num_beams; ++i) {
    const bool same =
        gpu.nodes[i] == cpu.nodes[i] && gpu.parents[i] == cpu.parents[i] && gpu.tokens[i] == cpu.tokens[i];
    const std::string at = "beam " + std::to_string(i);
    if (c.normalize == Normalize::none || cpu.nodes[i] < 0) {
      if (!same || std::memcmp(&gpu.scores[i], &cpu.scores[i], sizeof(float)) != 0)
        return fails(c, at + " differs from the CPU's: score " + std::to_string(gpu.scores[i]) + " for " +
                            std::to_string(cpu.scores[i]) + ", node " + std::to_string(gpu.nodes[i]) + " for " +
                            std::to_string(cpu.nodes[i]));
      continue;
    }
    if (!is_close(gpu.scores[i], cpu.scores[i]))
      return fails(c, at + " has score " + std::to_string(gpu.scores[i]) + " for " + std::to_string(cpu.scores[i]));
    const int64_t parent = gpu.parents[i], node = gpu.nodes[i];
    const Trie& trie = step.trie_of(b).view;
    if (parent < 0 || parent >= c.beams) return fails(c, at + " has no parent");
    const Interval children = children_of(trie, step.nodes[b * c.beams + parent]);
    if (node < children.begin || node >= children.end || token_of(trie, node) != gpu.tokens[i] ||
        !step.is_allowed(b, node))
      return fails(c, at + " is no allowed child of its parent");
    if (!is_close(gpu.scores[i], step.expected(b, parent, node))) return fails(c, at + " has the score of another");
    if (i == b * c.num_beams || gpu.nodes[i - 1] < 0) continue;
    const bool is_after = gpu.scores[i] != gpu.scores[i - 1]     ? gpu.scores[i] < gpu.scores[i - 1]
                          : gpu.parents[i] != gpu.parents[i - 1] ? gpu.parents[i] > gpu.parents[i - 1]
                                                                 : gpu.nodes[i] > gpu.nodes[i - 1];
    if (!is_after) return fails(c, at + " is out of order");
  }
  return true;
}

bool is_poisoned(const Step& step, int64_t b, const Result& result) {
  for (int64_t i = b * step.c.num_beams; i < (b + 1) * step.c.num_beams; ++i)
    if (result.scores[i] == result.scores[i] || result.tokens[i] != -1 || result.parents[i] != -1 ||
        result.nodes[i] != -1)
      return false;
  return true;
}

// The result in each order of threads, which must be one.
bool run_orders(const Step& step, Result& result) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    try {
      const Result of_order = step.run_cuda();
      if (i > 0 && !of_order.has_bits_of(result)) return fails(step.c, "the order of threads changes the result");
      result = of_order;
    } catch (const emulation::KernelError& error) {
      return fails(step.c, error.what());
    }
  }
  return true;
}

bool run(const Case& c) {
  const Step step(c);
  Result gpu(c.batch * c.num_beams);
  if (!run_orders(step, gpu)) return false;
  const Result cpu = step.run_cpu();
  for (int64_t b = 0; b < c.batch; ++b)
    if (!agree(step, b, gpu, cpu)) return false;
  return true;
}

constexpr Normalize kNormalizers[] = {Normalize::vocab, Normalize::children, Normalize::none};

// Odd shapes with every kind of argument.
bool run_shapes(Dtype dtype) {
  std::vector<Case> cases{
      {1, 1, 1, 1, 1},
      {0, 3, 5, 2, 9},
      {2, 0, 5, 3, 9},
      {1, 2, 7, 3, 0},
      {3, 1, 97, 5, 400},
      {2, 9, 33, 20, 300, Masks::shared},
      {3, 17, 64, 33, 500, Masks::per_row, 0, 1, true, true},
      {2, 8, 61, 12, 400, Masks::none, 9, 1, false, false, 1, 3},
      {4, 5, 45, 300, 300, Masks::per_row, 5, 3, false, true, 3, 1},
      {2, 3, 2100, 40, 3000, Masks::none, 0, 2, true, false, 5},
  };
  bool good = true;
  for (Case c : cases)
    for (Normalize normalize : kNormalizers) {
      c.normalize = normalize;
      c.dtype = dtype;
      good &= run(c);
    }
  return good;
}

// Every launch configuration: a warp or a block per beam, tiles of several groups, reductions of full buffers in tiles
// and in the merge, and the largest widths.
bool run_sizes(Dtype dtype) {
  std::vector<Case> cases{
      {1, 3, 9000, 5, 30000},                  // reductions to a few candidates
      {1, 2, 9000, 3000, 30000},               // reductions to many
      {2, 130, 40, 7, 500, Masks::shared},     // several beams of a block, one after another
      {300, 7, 19, 6, 200},                    // a warp per beam
      {2, 1030, 24, 64, 900, Masks::none, 4},  // a warp per beam, two groups per tile
      {1, 4096, 12, 4096, 500},                // the largest
  };
  bool good = true;
  for (size_t i = 0; i < cases.size(); ++i) {
    cases[i].normalize = kNormalizers[(i + static_cast<size_t>(dtype)) % 3];
    cases[i].dtype = dtype;
    good &= run(cases[i]);
  }
  return good;
}

// Errors in the data of row 1 make that row NaN. The other rows stay unchanged.
template <class Damage>
bool is_noticed(const char* what, Case c, const Damage& damage) {
  Step step(c);
  const Result before = step.run_cpu();
  damage(step);
  Result after(c.batch * c.num_beams);
  if (!run_orders(step, after)) return false;
  if (!is_poisoned(step, 1, after)) return fails(c, std::string(what) + " was not noticed");
  const bool is_alone = c.tries > 1 ? !is_poisoned(step, 0, after) && !is_poisoned(step, 2, after)
                                    : agree(step, 0, after, before) && agree(step, 2, after, before);
  return is_alone || fails(c, std::string(what) + " changed another row");
}

// A live beam of row 1 with children.
int64_t live_beam(const Step& step) {
  for (int64_t m = 0; m < step.c.beams; ++m) {
    const int64_t node = step.nodes[step.c.beams + m];
    if (node < 0 || step.scores[step.c.beams + m] == -std::numeric_limits<float>::infinity()) continue;
    const Interval children = children_of(step.trie_of(1).view, node);
    for (int64_t child = children.begin; child < children.end; ++child)
      if (step.is_allowed(1, child)) return m;
  }
  throw std::runtime_error("the case has no live beam");
}

bool run_errors(Dtype dtype) {
  bool good = true;
  const float infinity = std::numeric_limits<float>::infinity();
  for (int64_t beams : {9, 690}) {  // a block per beam, and a warp per beam
    Case c{3, beams, 33, 20, 300};
    c.dtype = dtype;
    c.wide_nodes = true;
    if (beams > 9) {
      good &= is_noticed("NaN in a row of many beams", c, [&](Step& step) {
        for (int64_t v = 0; v < c.vocab; ++v) step.logits.set(step.logit_index(1, live_beam(step), v), kNan);
      });
      continue;
    }
    for (Normalize normalize : kNormalizers) {
      c.normalize = normalize;
      for (float bad : {kNan, infinity})
        good &= is_noticed("a bad logit", c, [&](Step& step) {
          const int64_t m = live_beam(step), child = children_of(step.trie_of(1).view, step.node(1, m)).begin;
          step.logits.set(step.logit_index(1, m, token_of(step.trie_of(1).view, child)), bad);
        });
    }
    c.normalize = Normalize::vocab;
    good &= is_noticed("NaN among the logits of the vocabulary", c, [&](Step& step) {
      for (int64_t v = 0; v < c.vocab; ++v) step.logits.set(step.logit_index(1, live_beam(step), v), kNan);
    });
    good &= is_noticed("a score of NaN", c, [&](Step& step) { step.score(1, live_beam(step)) = kNan; });
    good &=
        is_noticed("a node past the trie", c, [&](Step& step) { step.node(1, 3) = step.trie_of(1).view.num_nodes; });
    good &= is_noticed("a negative node", c, [&](Step& step) { step.node(1, 3) = -2; });
  }
  // Errors in a trie that only row 1 uses.
  Case c{3, 9, 33, 20, 300, Masks::shared, 3, 2};
  c.dtype = dtype;
  const auto alone = [](Step& step) { step.trie_index = {0, 1, 0}; };
  const auto noticed = [&](const char* what, const auto& damage) {
    good &= is_noticed(what, c, [&](Step& step) {
      alone(step);
      for (int64_t m = 0; m < c.beams; ++m) step.node(0, m) = step.node(1, m) = step.node(2, m) = 0;
      for (float& score : step.scores) score = 0;
      for (int64_t i = 0; i < step.logit_index(2, c.beams - 1, c.vocab); ++i) step.logits.set(i, 0);
      damage(step);
    });
  };
  noticed("a trie index past the tries", [](Step& step) { step.trie_index[1] = 2; });
  noticed("a negative trie index", [](Step& step) { step.trie_index[1] = -1; });
  noticed("a mask of another version", [](Step& step) { ++step.mask_stamps[1]; });
  noticed("bans of another version", [](Step& step) { ++step.ban_stamps[1]; });
  noticed("children that overlap", [](Step& step) { step.tries[1]->first_child[1] = 0; });
  noticed("children past the trie",
          [](Step& step) { step.tries[1]->first_child[1] = static_cast<int32_t>(step.tries[1]->view.num_nodes) + 5; });
  noticed("a token past the vocabulary", [](Step& step) { step.tries[1]->narrow[1] = 33; });
  return good;
}

}  // namespace
}  // namespace recops::trie::cuda

int main(int argc, char** argv) {
  using namespace recops::trie::cuda;
  const std::string what = argc > 1 ? argv[1] : "", dtype = argc > 2 ? argv[2] : "f32";
  const recops::Dtype of_logits = dtype == "bf16"  ? recops::Dtype::bf16
                                  : dtype == "f16" ? recops::Dtype::f16
                                                   : recops::Dtype::f32;
  if (what == "shapes") return run_shapes(of_logits) ? 0 : 1;
  if (what == "sizes") return run_sizes(of_logits) ? 0 : 1;
  if (what == "errors") return run_errors(of_logits) ? 0 : 1;
  std::fprintf(stderr, "usage: %s shapes|sizes|errors [f32|bf16|f16]\n", argv[0]);
  return 2;
}
