// Allowed next logits of a language model for sequences that end within a semantic ID. Does not depend on torch.
#pragma once

#include <algorithm>
#include <cstdint>

#include "trie/lookup.h"
#include "trie/trie.h"

namespace recops::trie {

// Map between the tokens of each level and the tokens of the model.
struct TokenMap {
  const int32_t* model_tokens;  // [sum of the vocabulary sizes]: model tokens, level by level
  const int64_t* level_begins;  // [depth + 1]: first entry of each level in model_tokens, and the end
  const int32_t* trie_tokens;   // [depth, width]: the level's token of a model token, or −1
  int64_t width;
  const bool* consecutive;  // [depth]: whether the level's model tokens are consecutive numbers

  // Whether trie tokens [first, first + count) belong to the level.
  bool holds(int64_t level, int64_t first, int64_t count) const {
    return 0 <= first && first + count <= level_begins[level + 1] - level_begins[level];
  }
  int64_t model_token(int64_t level, int64_t trie_token) const {
    return model_tokens[level_begins[level] + trie_token];
  }
  int64_t trie_token(int64_t level, int64_t model_token) const {
    return 0 <= model_token && model_token < width ? trie_tokens[level * width + model_token] : -1;
  }
};

// Start of the semantic ID in a sequence: a fixed position, or after the last `begin_token`.
struct SidStart {
  int64_t prompt_length;  // −1: the ID starts after begin_token
  int64_t begin_token;

  // Number of tokens of its semantic ID that a sequence has; more than `depth` if the ID is complete or has no start.
  int64_t tokens_so_far(const int64_t* sequence, int64_t length, int64_t depth) const {
    if (prompt_length >= 0) return length - prompt_length;
    for (int64_t count = 0; count <= std::min(depth, length - 1); ++count)
      if (sequence[length - 1 - count] == begin_token) return count;
    return depth + 1;
  }
};

// Returns the node at the end of the path given by the last `count` tokens, or −1. `scratch` is [count].
inline int64_t node_of_tail(const Trie& trie, const TokenMap& map, const int64_t* sequence, int64_t length,
                            int64_t count, int64_t* scratch) {
  for (int64_t level = 0; level < count; ++level)
    scratch[level] = map.trie_token(level, sequence[length - count + level]);
  return find_node(trie, {scratch, true}, 0, count);
}

// Calls use(model token, count) for runs of tokens that may follow an inner node of level `level`. Usually there is one
// call per child with an allowed item below it. If the trie and model tokens of all children are consecutive, one call
// covers them all. Returns false if a child's token is not in the level's map.
template <class Use>
bool for_allowed_children(const Trie& trie, const TokenMap& map, int64_t node, int64_t level, const ItemFilter& filter,
                          const Use& use) {
  const Interval children = children_of(trie, node);
  const int64_t count = children.end - children.begin;
  if (allows_all(filter) && count > 0 && map.consecutive[level]) {
    const int64_t first = token_of(trie, children.begin), last = token_of(trie, children.end - 1);
    if (last - first == count - 1) {
      const bool holds = map.holds(level, first, count);
      if (holds) use(map.model_token(level, first), count);
      return holds;
    }
  }
  for (int64_t child = children.begin; child < children.end; ++child) {
    const int64_t token = token_of(trie, child);
    if (!map.holds(level, token, 1)) return false;
    if (allows_all(filter) || allows_any(filter, items_below(trie, {child, child + 1}, level + 1)))
      use(map.model_token(level, token), int64_t{1});
  }
  return true;
}

}  // namespace recops::trie
