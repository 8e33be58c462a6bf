// The op behind recops.hf: the logits of what may follow sequences of a language model. Its arithmetic is in
// next_logits.h.
#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "trie/batch.h"
#include "trie/next_logits.h"

namespace recops::trie {
namespace {

// Logits to write for each thread to be worth waking.
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

template <class T>
void write_row(const Rows& rows, int64_t row, const T* logits, T forbidden, int64_t* scratch, T* out) {
  const int64_t* sequence = rows.sequences + row * rows.length;
  const int64_t depth = rows.trie.depth, level = rows.start.tokens_so_far(sequence, rows.length, depth);
  if (level > depth && rows.start.prompt_length < 0) {
    std::copy_n(logits, rows.vocab, out);
    return;
  }
  std::fill_n(out, rows.vocab, forbidden);
  bool goes_on = false;
  if (level < depth) {
    const int64_t node = node_of_tail(rows.trie, rows.map, sequence, rows.length, level, scratch);
    const ItemFilter& filter = rows.filters[row / rows.rows_per_filter];
    if (node >= 0)
      for_allowed_children(rows.trie, rows.map, node, level, filter, [&](int64_t token, int64_t count) {
        if (count == 1)
          out[token] = logits[token];
        else
          std::copy_n(logits + token, count, out + token);
        goes_on = true;
      });
  }
  if (!goes_on)
    for (int64_t token : rows.end_tokens) out[token] = T{0};
}

template <class T>
void write_rows(const Rows& rows, const Tensor& logits, T forbidden, const Tensor& out) {
  const auto* from = static_cast<const T*>(logits.data_ptr());
  auto* to = static_cast<T*>(out.data_ptr());
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, rows.vocab));
  std::vector<int64_t> scratch(rows.count * rows.trie.depth);
  parallel_for(rows.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      write_row(rows, row, from + row * rows.vocab, forbidden, scratch.data() + row * rows.trie.depth,
                to + row * rows.vocab);
  });
}

Tensor trie_next_logits(Tensor logits_in, Tensor sequences_in, int64_t prompt_length, int64_t begin_token,
                        std::vector<Tensor> trie, std::vector<int64_t> vocab_sizes, Tensor model_tokens_in,
                        Tensor trie_tokens_in, std::vector<int64_t> end_tokens, std::vector<Tensor> allowed) {
  const char* op = "SidTrieLogitsProcessor";
  const auto depth = static_cast<int64_t>(vocab_sizes.size());
  const Tensor logits = recops::contiguous(logits_in), sequences = recops::contiguous(sequences_in);
  const Tensor model_tokens = recops::contiguous(model_tokens_in), trie_tokens = recops::contiguous(trie_tokens_in);
  require_value(logits.dim() == 2 && sequences.dim() == 2 && sequences.size(0) == logits.size(0) &&
                    sequences.scalar_type() == ScalarType::Long,
                op, ": scores must be [R, V] and input_ids int64 [R, T]");
  const int64_t count = logits.size(0), vocab = logits.size(1), length = sequences.size(1);
  require_value(length >= prompt_length, op, ": prompt_length is ", prompt_length, ", but input_ids have ", length,
                " tokens");

  std::vector<int64_t> level_begins(depth);
  int64_t total = 0;
  for (int64_t level = 0; level < depth; ++level) {
    level_begins[level] = total;
    total += vocab_sizes[level];
  }
  require_value(model_tokens.scalar_type() == ScalarType::Int && model_tokens.numel() == total &&
                    trie_tokens.scalar_type() == ScalarType::Int && trie_tokens.dim() == 2 &&
                    trie_tokens.size(0) == depth && trie_tokens.size(1) <= vocab,
                op, ": token_map must name ", total, " tokens below the model's vocabulary, ", vocab);
  const auto* of_model = static_cast<const int32_t*>(model_tokens.data_ptr());
  const auto consecutive = std::make_unique<bool[]>(depth);
  for (int64_t level = 0; level < depth; ++level) {
    consecutive[level] = true;
    const int32_t* of_level = of_model + level_begins[level];
    for (int64_t token = 0; token < vocab_sizes[level]; ++token) {
      require_value(0 <= of_level[token] && of_level[token] < vocab, op, ": token_map holds ", of_level[token],
                    ", but scores have ", vocab, " columns");
      consecutive[level] = consecutive[level] && of_level[token] == of_level[0] + token;
    }
  }
  for (int64_t token : end_tokens)
    require_value(0 <= token && token < vocab, op, ": eos_token_id is ", token, ", but scores have ", vocab,
                  " columns");

  const int64_t masks = !allowed.empty() && allowed[0].dim() == 2 ? allowed[0].size(0) : 1;
  require_value(masks > 0 ? count % masks == 0 : count == 0, op, ": allowed has ", masks, " rows, but scores ", count);
  const Tries tries(op, trie, depth, std::nullopt, masks);
  const Filters filters(op, tries, allowed, {}, masks);

  const TokenMap map{of_model, level_begins.data(), static_cast<const int32_t*>(trie_tokens.data_ptr()),
                     trie_tokens.size(1), consecutive.get()};
  const SidStart start{prompt_length, begin_token};
  const Rows rows{tries[0].view, map,        start,   static_cast<const int64_t*>(sequences.data_ptr()),  count, length,
                  vocab,         end_tokens, filters, std::max<int64_t>(1, masks > 0 ? count / masks : 1)};
  const Tensor out = empty({count, vocab}, logits.scalar_type(), logits);
  switch (dtype_of(op, "scores", logits)) {
    case Dtype::f32: write_rows(rows, logits, -std::numeric_limits<float>::infinity(), out); break;
    case Dtype::f64: write_rows(rows, logits, -std::numeric_limits<double>::infinity(), out); break;
    // 16-bit logits are only moved: their bits do.
    case Dtype::bf16: write_rows<uint16_t>(rows, logits, 0xff80, out); break;
    case Dtype::f16: write_rows<uint16_t>(rows, logits, 0xfc00, out); break;
  }
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "trie_next_logits(Tensor logits, Tensor sequences, int prompt_length, int begin_token, Tensor[] trie, "
      "int[] vocab_sizes, Tensor model_tokens, Tensor trie_tokens, int[] end_tokens, Tensor[] allowed) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("trie_next_logits", TORCH_BOX(&trie_next_logits)); }

}  // namespace recops::trie
