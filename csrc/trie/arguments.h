// Checks of dtype and shape for trie ops. No data is read.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"
#include "trie/kernel.h"

namespace recops::trie {

inline void require_trie(const char* op, const Tensor& first_child, const Tensor& tokens, int64_t depth) {
  require_between(op, "depth", depth, 1, kMostDepth);
  require_dtype(op, "first_child", first_child, ScalarType::Int);
  require_value(tokens.scalar_type() == ScalarType::Int || tokens.scalar_type() == ScalarType::UInt16, op,
                ": tokens must be uint16 or int32, got ", name_of(tokens.scalar_type()));
  require_value(tokens.numel() >= 1, op, ": tokens must have a value for the root, got none");
  require_numel(op, "first_child", first_child, tokens.numel() + 1);
}

inline std::vector<Tensor> joined(std::vector<Tensor> tensors, const std::vector<Tensor>& more) {
  tensors.insert(tensors.end(), more.begin(), more.end());
  return tensors;
}

// Tensors of a trie in a list: first_child, tokens and stamp.
constexpr size_t kPerTrie = 3;

inline void require_tries(const char* op, const std::vector<Tensor>& tensors) {
  require_value(!tensors.empty() && tensors.size() % kPerTrie == 0, op,
                ": trie must be first_child, tokens and stamp of each, got ", tensors.size(), " tensors");
}

// Checks a trie's version tensor.
inline void require_stamp(const char* op, const Tensor& stamp) {
  require_dtype(op, "stamp", stamp, ScalarType::Long);
  require_numel(op, "stamp", stamp, 1);
}

// Checks per-position tensors: ids, and a permutation of the positions or of the input rows of the items.
inline void require_items(const char* op, const Tensor& item_ids, const char* name, const Tensor& order) {
  require_dtype(op, "item_ids", item_ids, ScalarType::Long);
  require_dtype(op, name, order, ScalarType::Int);
  require_numel(op, name, order, item_ids.numel());
}

// Checks ragged rows of ids: row b starts at offsets[b].
inline void require_ragged(const char* op, const Tensor& ids, const Tensor& offsets) {
  require_dtype(op, "ids", ids, ScalarType::Long);
  require_dtype(op, "offsets", offsets, ScalarType::Long);
  require_value(offsets.numel() >= 1, op, ": offsets must have an entry more than there are rows, got none");
}

// Checks that nodes and scores are [batch, width] and that scores have the compute type `type`.
inline void require_beams(const char* op, const Tensor& nodes, const Tensor& scores, ScalarType type,
                          int64_t num_beams) {
  require_dim(op, "nodes", nodes, 2);
  require_shape(op, "scores", scores, {nodes.size(0), nodes.size(1)});
  require_dtype(op, "scores", scores, type);
  require_value(num_beams >= 1, op, ": num_beams must be at least 1, got ", num_beams);
}

inline void require_logits(const char* op, const Tensor& logits, const Tensor& nodes) {
  require_dim(op, "logits", logits, 3);
  require_shape(op, "nodes", nodes, {logits.size(0), logits.size(1)});
  require_value(logits.size(2) >= 1 || nodes.numel() == 0, op, ": logits must have a column for each token, got ",
                shape_of(logits));
}

// Checks the vocabulary sizes of all levels of all tries, if they are given.
inline void require_level_sizes(const char* op, const std::optional<std::vector<int64_t>>& vocab_sizes,
                                int64_t num_tries, int64_t depth) {
  require_value(!vocab_sizes || static_cast<int64_t>(vocab_sizes->size()) == num_tries * depth, op,
                ": vocab_sizes must have ", num_tries * depth, " entries, one for each level of each trie, got ",
                vocab_sizes ? vocab_sizes->size() : 0);
}

// Checks a list of masks: words and stamp for each trie.
inline void require_masks(const char* op, const std::vector<Tensor>& allowed, int64_t num_tries) {
  require_value(static_cast<int64_t>(allowed.size()) == 2 * num_tries, op,
                ": allowed must have words and stamp of a mask for each of ", num_tries, " tries, got ", allowed.size(),
                " tensors");
}

// Checks mask words for `num_items` items: one row for the whole batch, or [batch, words].
inline void require_mask(const char* op, const Tensor& words, int64_t num_items, int64_t batch) {
  require_dtype(op, "allowed", words, ScalarType::Long);
  const int64_t width = (num_items + 63) / 64, dim = words.dim();
  require_value((dim == 1 || dim == 2) && words.size(dim - 1) == width, op, ": allowed must hold ", num_items,
                " items, in ", width, " words, got ", shape_of(words));
  require_value(dim == 1 || words.size(0) == batch, op, ": allowed must have a row for each of the batch's ", batch,
                ", got ", words.size(0));
}

// Checks bans: positions, row offsets, and the stamps of `num_tries` tries.
inline void require_bans(const char* op, const std::vector<Tensor>& bans, int64_t num_tries, int64_t batch) {
  require_value(bans.size() == 3, op, ": banned must be positions, offsets and stamps, got ", bans.size(), " tensors");
  require_dtype(op, "banned", bans[0], ScalarType::Int);
  require_dtype(op, "banned: offsets", bans[1], ScalarType::Long);
  require_value(bans[1].numel() == batch + 1, op, ": banned must have the offsets of the batch's ", batch,
                " rows, got ", shape_of(bans[1]));
  require_dtype(op, "banned: stamps", bans[2], ScalarType::Long);
  require_value(bans[2].numel() >= num_tries, op, ": banned must have the stamps of ", num_tries, " tries, got ",
                bans[2].numel());
}

inline void require_prior(const char* op, const Tensor& prior, int64_t num_items) {
  require_value(prior.scalar_type() == ScalarType::Float || prior.scalar_type() == ScalarType::Double, op,
                ": item_prior must be float32 or float64, got ", name_of(prior.scalar_type()));
  require_numel(op, "item_prior", prior, num_items);
}

inline Normalize normalize_of(const char* op, const std::string& name) {
  if (name == "vocab") return Normalize::vocab;
  if (name == "children") return Normalize::children;
  require_value(name == "none", op, ": normalize must be 'vocab', 'children' or 'none', got '", name, "'");
  return Normalize::none;
}

// Checks that each level's vocabulary size is from 1 to `most`; returns their sum.
inline int64_t require_vocab_sizes(const char* op, const std::vector<int64_t>& vocab_sizes, int64_t most) {
  int64_t total = 0;
  for (int64_t size : vocab_sizes) {
    require_between(op, "vocab_sizes", size, 1, most);
    total += size;
  }
  return total;
}

// Checks a token map. model_tokens [total] maps level tokens to model tokens; trie_tokens [depth, at most vocab] maps
// model tokens back.
inline void require_token_map(const char* op, const Tensor& model_tokens, const Tensor& trie_tokens, int64_t total,
                              int64_t depth, int64_t vocab) {
  require_dtype(op, "token_map", model_tokens, ScalarType::Int);
  require_dtype(op, "token_map", trie_tokens, ScalarType::Int);
  require_numel(op, "token_map", model_tokens, total);
  require_value(trie_tokens.dim() == 2 && trie_tokens.size(0) == depth && trie_tokens.size(1) <= vocab, op,
                ": token_map must name tokens of ", depth, " levels below the model's vocabulary of ", vocab, ", got ",
                shape_of(trie_tokens));
}

// Checks the logits of a language model and the sequences that they follow.
inline void require_sequences(const char* op, const Tensor& logits, const Tensor& sequences, int64_t prompt_length) {
  require_dim(op, "scores", logits, 2);
  require_dim(op, "input_ids", sequences, 2);
  require_dtype(op, "input_ids", sequences, ScalarType::Long);
  require_value(sequences.size(0) == logits.size(0), op, ": input_ids must have a row for each of scores', ",
                logits.size(0), ", got ", sequences.size(0));
  require_value(sequences.size(1) >= prompt_length, op, ": prompt_length must be at most ", sequences.size(1),
                ", the tokens of input_ids, got ", prompt_length);
}

inline void require_end_tokens(const char* op, const std::vector<int64_t>& end_tokens, int64_t vocab) {
  for (int64_t token : end_tokens)
    require_value(0 <= token && token < vocab, op, ": eos_token_id must be a column of scores, from 0 to ", vocab - 1,
                  ", got ", token);
}

// Returns the number of masks for `rows` rows of logits: 1 without masks or with one for all rows.
inline int64_t count_masks(const char* op, const std::vector<Tensor>& allowed, int64_t rows) {
  const int64_t masks = !allowed.empty() && allowed[0].dim() == 2 ? allowed[0].size(0) : 1;
  require_value(masks > 0 ? rows % masks == 0 : rows == 0, op, ": allowed must have rows that divide those of scores, ",
                rows, ", got ", masks);
  return masks;
}

}  // namespace recops::trie
