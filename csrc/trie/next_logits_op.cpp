// Op behind recops.hf: allowed next logits of language model sequences. next_logits.h has the arithmetic.
#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <vector>

#include "trie/arguments.h"
#include "trie/batch.h"
#include "trie/next_logits.h"

namespace recops::trie {
namespace {

// Least number of logits to write per thread.
constexpr int64_t kGrain = 64 << 10;

struct Rows {
  const Trie& trie;
  const TokenMap& map;
  const SidStart& start;
  const int64_t* sequences;  // [count, length]
  int64_t count, length, vocab;
  const std::vector<int64_t>& end_tokens;
  const Filters& filters;
  int64_t rows_per_filter;
};

// Returns false if the trie has a token that the map lacks.
template <class T>
bool write_row(const Rows& rows, int64_t row, const T* logits, T forbidden, int64_t* scratch, T* out) {
  const int64_t* sequence = rows.sequences + row * rows.length;
  const int64_t depth = rows.trie.depth, level = rows.start.tokens_so_far(sequence, rows.length, depth);
  if (level > depth && rows.start.prompt_length < 0) {
    std::copy_n(logits, rows.vocab, out);
    return true;
  }
  std::fill_n(out, rows.vocab, forbidden);
  bool goes_on = false, is_mapped = true;
  if (level < depth) {
    const int64_t node = node_of_tail(rows.trie, rows.map, sequence, rows.length, level, scratch);
    const ItemFilter& filter = rows.filters[row / rows.rows_per_filter];
    if (node >= 0)
      is_mapped = for_allowed_children(rows.trie, rows.map, node, level, filter, [&](int64_t token, int64_t count) {
        if (count == 1)
          out[token] = logits[token];
        else
          std::copy_n(logits + token, count, out + token);
        goes_on = true;
      });
  }
  if (!goes_on)
    for (int64_t token : rows.end_tokens) out[token] = T{0};
  return is_mapped;
}

template <class T>
void write_rows(const char* op, const Rows& rows, const Tensor& logits, T forbidden, const Tensor& out) {
  const auto* from = static_cast<const T*>(logits.data_ptr());
  auto* to = static_cast<T*>(out.data_ptr());
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, rows.vocab));
  std::vector<int64_t> scratch(rows.count * rows.trie.depth);
  std::atomic<bool> is_mapped{true};
  parallel_for(rows.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      if (!write_row(rows, row, from + row * rows.vocab, forbidden, scratch.data() + row * rows.trie.depth,
                     to + row * rows.vocab))
        is_mapped = false;
  });
  require_value(is_mapped, op, ": trie must hold tokens of its levels' vocabularies, got others");
}

Tensor trie_next_logits(Tensor logits_in, Tensor sequences_in, int64_t prompt_length, int64_t begin_token,
                        std::vector<Tensor> trie, std::vector<int64_t> vocab_sizes, Tensor model_tokens_in,
                        Tensor trie_tokens_in, std::vector<int64_t> end_tokens, std::vector<Tensor> allowed) {
  const char* op = "SidTrieLogitsProcessor";
  const auto depth = static_cast<int64_t>(vocab_sizes.size());
  const Tensor logits = recops::contiguous(logits_in), sequences = recops::contiguous(sequences_in);
  const Tensor model_tokens = recops::contiguous(model_tokens_in), trie_tokens = recops::contiguous(trie_tokens_in);
  require_sequences(op, logits, sequences, prompt_length);
  const int64_t count = logits.size(0), vocab = logits.size(1), length = sequences.size(1);

  require_token_map(op, model_tokens, trie_tokens, require_vocab_sizes(op, vocab_sizes, INT32_MAX), depth, vocab);
  std::vector<int64_t> level_begins{0};
  for (int64_t size : vocab_sizes) level_begins.push_back(level_begins.back() + size);
  const auto* of_model = static_cast<const int32_t*>(model_tokens.data_ptr());
  const auto consecutive = std::make_unique<bool[]>(depth);
  for (int64_t level = 0; level < depth; ++level) {
    consecutive[level] = true;
    const int32_t* of_level = of_model + level_begins[level];
    for (int64_t token = 0; token < vocab_sizes[level]; ++token) {
      require_value(0 <= of_level[token] && of_level[token] < vocab, op,
                    ": token_map must hold columns of scores, from 0 to ", vocab - 1, ", got ", of_level[token]);
      consecutive[level] = consecutive[level] && of_level[token] == of_level[0] + token;
    }
  }
  require_end_tokens(op, end_tokens, vocab);

  const int64_t masks = count_masks(op, allowed, count);
  const Tries tries(op, trie, depth, std::nullopt, masks);
  const Filters filters(op, tries, allowed, {}, masks);

  const TokenMap map{of_model, level_begins.data(), static_cast<const int32_t*>(trie_tokens.data_ptr()),
                     trie_tokens.size(1), consecutive.get()};
  const SidStart start{prompt_length, begin_token};
  const Rows rows{tries[0].view, map,        start,   static_cast<const int64_t*>(sequences.data_ptr()),  count, length,
                  vocab,         end_tokens, filters, std::max<int64_t>(1, masks > 0 ? count / masks : 1)};
  const Tensor out = empty({count, vocab}, logits.scalar_type(), logits);
  switch (dtype_of(op, "scores", logits)) {
    case Dtype::f32: write_rows(op, rows, logits, -std::numeric_limits<float>::infinity(), out); break;
    case Dtype::f64: write_rows(op, rows, logits, -std::numeric_limits<double>::infinity(), out); break;
    // 16-bit logits are only copied, so their bits are enough.
    case Dtype::bf16: write_rows<uint16_t>(op, rows, logits, 0xff80, out); break;
    case Dtype::f16: write_rows<uint16_t>(op, rows, logits, 0xfc00, out); break;
  }
  return out;
}

void trie_next_logits_(Tensor logits, Tensor sequences, int64_t prompt_length, int64_t begin_token,
                       std::vector<Tensor> trie, std::vector<int64_t> vocab_sizes, Tensor model_tokens,
                       Tensor trie_tokens, std::vector<int64_t> end_tokens, std::vector<Tensor> allowed) {
  assign(logits, trie_next_logits(logits, sequences, prompt_length, begin_token, trie, vocab_sizes, model_tokens,
                                  trie_tokens, end_tokens, allowed));
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "trie_next_logits(Tensor logits, Tensor sequences, int prompt_length, int begin_token, Tensor[] trie, "
      "int[] vocab_sizes, Tensor model_tokens, Tensor trie_tokens, int[] end_tokens, Tensor[] allowed) -> Tensor");
  m.def(
      "trie_next_logits_(Tensor(a!) logits, Tensor sequences, int prompt_length, int begin_token, Tensor[] trie, "
      "int[] vocab_sizes, Tensor model_tokens, Tensor trie_tokens, int[] end_tokens, Tensor[] allowed) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("trie_next_logits", TORCH_BOX(&trie_next_logits));
  m.impl("trie_next_logits_", TORCH_BOX(&trie_next_logits_));
}

}  // namespace recops::trie
