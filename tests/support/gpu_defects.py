"""Defects planted in GPU kernels: one table of changes, each of which a test must find.

A test is a run of a driver in ``csrc/tests``, which emulates CUDA kernels on the host, or a file of
``tests/recops/ops`` that Triton's interpreter runs. ``tests/test_gpu_defects.py`` plants them, and
``tools/list_gpu_defects.py`` lists them.
"""

from __future__ import annotations

from typing import NamedTuple


class Defect(NamedTuple):
    """A change of a kernel's source.

    Attributes:
        file: changed file, relative to the checkout.
        test: the test that must fail.
        name: what is wrong after the change.
        changes: pairs of a pattern, which occurs once in the file, and its replacement.
    """

    file: str
    test: str
    name: str
    changes: tuple[tuple[str, str], ...]


def _planted(file: str, test: str, *rows: tuple[str, ...]) -> list[Defect]:
    """Return the defects of a file that one test finds; rows are (name, pattern, replacement, …)."""
    return [
        Defect(file, test, name, tuple(zip(texts[::2], texts[1::2], strict=True)))
        for name, *texts in rows
    ]


# fmt: off
DEFECTS = [
    *_planted(
        "csrc/common/device_floats.h",
        "embedding_cuda sums bf16",
        ("sums of bfloat16 truncated", "bits + 0x7fffu + (bits >> 16 & 1);", "bits;"),
    ),
    *_planted(
        "csrc/common/device_prefix_sums.h",
        "trie_lookups_cuda items",
        ("no barrier before the sums of warps are read", "= through;\n  __syncthreads();", "= through;"),
        ("the sum of all warps taken as that of the earlier ones", "if (w < warp) before", "before"),
    ),
    *_planted(
        "csrc/common/device_quads.h",
        "recurrent_cuda shapes",
        ("the last states of a matrix dropped", "return (count + kQuad - 1) / kQuad;", "return count / kQuad;"),
    ),
    *_planted(
        "csrc/common/device_radix_sort.h",
        "trie_build_cuda",
        ("no barrier before the counts of digits are read", "uint32_t{1});\n  __syncthreads();\n  a.counts", "uint32_t{1});\n  a.counts"),
        ("no barrier before a warp counts its keys", "__popc(before));\n    __syncwarp();", "__popc(before));"),
        ("no barrier before keys move", "place += count;\n  }\n  __syncthreads();", "place += count;\n  }"),
        ("a sort that is not stable", "before = equal & ((1u << lane) - 1)", "before = equal & ~((2u << lane) - 1)"),
        ("the keys of earlier tiles not counted", " +\n                   a.counts[digit_of_thread * a.tiles + blockIdx.x];", ";"),
    ),
    *_planted(
        "csrc/common/shared_memory.h",
        "trie_cuda sizes",
        ("shared memory of the variables not counted", "32 << 10", "48 << 10"),
    ),
    *_planted(
        "csrc/embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        ("an occurrence given to the feature before", "occurrence >= sources[i + 1].begin", "occurrence > sources[i + 1].begin"),
        ("padding that has a gradient", "id >= num_rows || id == padding ?", "id >= num_rows ?"),
        ("a run that continues, written as if it ended", "if (starts_here && ends_here) return", "if (starts_here) return"),
        ("a run joined over two chunks only", "chunk < a_.chunks && a_.keys", "chunk < chunk_ + 2 && chunk < a_.chunks && a_.keys"),
        ("a run joined from its middle too", "if (begin_ > 0 && a_.keys[begin_ - 1] == key) return;", ""),
        ("a sum that is not cleared for the next run", "starts_here = true;\n          sum.clear();", "starts_here = true;"),
    ),
    *_planted(
        "csrc/embedding/cuda_sum_bags.h",
        "embedding_cuda sums",
        ("padding that is summed", "is_wrong || id == feature.padding ? -1", "is_wrong ? -1"),
        ("no upper bound on ids", "id < 0 || id >= feature.num_rows;", "id < 0;"),
        ("the last id of a bag dropped", "begin + i < feature.each ?", "begin + i < feature.each - 1 ?"),
        ("columns of a lane off by one", "for (int column = lane * count;", "for (int column = lane * count + 1;"),
    ),
    *_planted(
        "csrc/embedding/cuda_update.h",
        "embedding_cuda update",
        ("a square that lacks lanes of the row", "int bits = a.lanes / 2;", "int bits = a.lanes / 4;"),
        ("a mean square added by every lane", "if (lane == first) a.state", "a.state"),
        ("weight decay that does not reach the state", "gradient = decayed(a, sum, weights);\n      }", "gradient = sum;\n      }"),
        ("an Adagrad state of the column before", "a.state[at + i] = square;", "a.state[at + i / 2] = square;"),
    ),
    *_planted(
        "csrc/memory/cuda_backward.h",
        "memory_cuda hpmn",
        ("the last segment of steps not recomputed", "(steps - 1) / every * every;", "steps < every ? 0 : steps / every * every - every;"),
    ),
    *_planted(
        "csrc/memory/cuda_block.h",
        "memory_cuda mimn",
        ("zeros instead of NaN after an error", "is_wrong ? kNan : 0.0f", "0.0f"),
    ),
    *_planted(
        "csrc/memory/cuda_gradients.h",
        "memory_cuda mimn",
        ("r·h taken for the state in a gradient", "row < product.last_row ? product.second :", "false ? product.second :"),
    ),
    *_planted(
        "csrc/memory/cuda_hpmn.h",
        "memory_cuda hpmn",
        ("no barrier before the candidates of a slot", "(t + 1);\n      }\n      __syncthreads();", "(t + 1);\n      }"),
        ("a slot updated at every event", "if (j < block_.updated[t % 2][u]) slot", "slot"),
    ),
    *_planted(
        "csrc/memory/cuda_hpmn_backward.h",
        "memory_cuda hpmn",
        ("gradients of a slot that no event updated", "if (is_updated(u)) grad.at(u, unit) = value;", "grad.at(u, unit) = value;"),
    ),
    *_planted(
        "csrc/memory/cuda_mimn.h",
        "memory_cuda mimn",
        ("one event counted per user of a stream", "a_.counts[user.from] += user.length;", "a_.counts[user.from] += 1;"),
    ),
    *_planted(
        "csrc/memory/cuda_mimn_backward.h",
        "memory_cuda mimn",
        ("no barrier after a frame is stored", "next_hidden + i); });\n      __syncthreads();", "next_hidden + i); });"),
        ("final gradients taken over too early", "if (user.length == t) values_", "if (user.length <= t) values_"),
    ),
    *_planted(
        "csrc/memory/cuda_mimn_step.h",
        "memory_cuda mimn",
        ("no barrier after the head", "find_head();\n    __syncthreads();", "find_head();"),
        ("no barrier after the weights of slots", "find_weights();\n    __syncthreads();", "find_weights();"),
        ("a shift past the last slot", "content, (lane + 1) % l_.m);", "content, lane + 1);"),
    ),
    *_planted(
        "csrc/memory/cuda_mimn_step_backward.h",
        "memory_cuda mimn",
        ("clipping without effect on gradients", "return x < -20.0f || x > 20.0f ? 0.0f : grad;", "return x == x ? grad : 0.0f;"),
    ),
    *_planted(
        "csrc/memory/cuda_repack.h",
        "memory_cuda mimn",
        ("one part of the gradients dropped", "for (int64_t part = 0; part < a.parts;", "for (int64_t part = 1; part < a.parts;"),
    ),
    *_planted(
        "csrc/memory/cuda_stream.h",
        "memory_cuda hpmn",
        ("runs of events off by a warp", "if (w < warp) before", "if (w <= warp) before"),
    ),
    *_planted(
        "csrc/memory/cuda_users.h",
        "memory_cuda hpmn",
        ("no lower bound on rows of events", "if (row < 0 || row >= pool) return", "if (row >= pool) return"),
    ),
    *_planted(
        "csrc/memory/cuda_users.h",
        "memory_cuda mimn",
        ("a length past the steps of a memory accepted", "0 <= length && length <= steps ?", "0 <= length ?"),
    ),
    *_planted(
        "csrc/recurrent/cuda_backward.h",
        "recurrent_cuda shapes",
        ("no barrier between the steps of a backward scan", "step(t, inputs);\n      __syncthreads();", "step(t, inputs);"),
        ("no barrier before the products of gradients", "n_sums[i], dq);\n    }\n    __syncthreads();", "n_sums[i], dq);\n    }"),
        ("no barrier before gates are recomputed", "    __syncthreads();\n    stepper_.find_gates(", "    stepper_.find_gates("),
        ("the state after a step taken as the one before", "states[(row * scan.steps + t - 1) *", "states[(row * scan.steps + t) *"),
    ),
    *_planted(
        "csrc/recurrent/cuda_backward.h",
        "recurrent_cuda sizes",
        ("the attention of one warp of units", "warp < rows; ++warp) sum", "warp < 1; ++warp) sum"),
    ),
    *_planted(
        "csrc/recurrent/cuda_block.h",
        "recurrent_cuda errors",
        ("a length past the steps accepted", "return 0 <= length && length <= steps ?", "return 0 <= length ?"),
        ("no lower bound on sources", "source < 0 || source >= sources", "source >= sources"),
    ),
    *_planted(
        "csrc/recurrent/cuda_forward.h",
        "recurrent_cuda shapes",
        ("no barrier between the steps of a scan", "store_states((t + 1) % 2);\n      __syncthreads();", "store_states((t + 1) % 2);"),
        ("no barrier after rows, weights and states are stored", "store_states(0);\n    __syncthreads();", "store_states(0);"),
        ("a step past the length", "t < block_.lengths[first_ + i]; }", "t <= block_.lengths[first_ + i]; }"),
    ),
    *_planted(
        "csrc/recurrent/cuda_gradients.h",
        "recurrent_cuda shapes",
        ("no barrier before the tile of a weight gradient", "    __syncthreads();\n    add_tile(memory, sums);", "    add_tile(memory, sums);"),
        ("padding in weight gradients", "if (step >= rows.find(row, source))", "if (rows.find(row, source) < 0)"),
        ("shared gates in the order of rows", "a.gate_grads[a.order[at] * a.width + i]", "a.gate_grads[at * a.width + i]"),
    ),
    *_planted(
        "csrc/recurrent/cuda_gradients.h",
        "recurrent_cuda sizes",
        ("a group of rows dropped", "for (int group = 0; group < a.groups;", "for (int group = 1; group < a.groups;"),
    ),
    *_planted(
        "csrc/recurrent/cuda_products.h",
        "recurrent_cuda shapes",
        ("columns of packed weights past the last", "unit < a.hidden && input < a.hidden;", "unit < a.hidden;"),
    ),
    *_planted(
        "csrc/recurrent/cuda_step.h",
        "recurrent_cuda shapes",
        ("no barrier before the product with r·h", "    __syncthreads();\n    add_products(weights_ + 2", "    add_products(weights_ + 2"),
    ),
    *_planted(
        "csrc/recurrent/cuda_tiles.h",
        "recurrent_cuda shapes",
        ("no barrier after the product of a tile", "add_tile(memory, sums);\n    __syncthreads();", "add_tile(memory, sums);"),
    ),
    *_planted(
        "csrc/trie/cuda_allowed_tokens.h",
        "trie_lookups_cuda tokens",
        ("no bound on allowed tokens", "0 <= token && token < a.vocab_size", "0 <= token"),
    ),
    *_planted(
        "csrc/trie/cuda_batch.h",
        "trie_cuda errors",
        ("no check of a mask's version", "|| trie.mask_stamp[0] != trie.stamp[0]", ""),
    ),
    *_planted(
        "csrc/trie/cuda_batch.h",
        "trie_cuda shapes",
        ("one mask for all rows", "trie.mask + int64_t{b} * trie.mask_words", "trie.mask"),
    ),
    *_planted(
        "csrc/trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        ("equal priors resolved to the highest position", "(of_other == prior && other < position)", "(of_other == prior && other > position)"),
        ("large leaves left out", "for (int i = 0; i < num_large; ++i)", "for (int i = 1; i < num_large; ++i)"),
        ("no barrier before the large leaves are read", "before += total;\n    }\n    __syncthreads();", "before += total;\n    }"),
        ("no barrier before an error is read", "leaves();\n    }\n    __syncthreads();\n    if", "leaves();\n    }\n    if"),
        ("an inner node taken for a leaf", "&& trie_.first_child[node] >= trie_.num_nodes", ""),
        ("no check of the rows of items", "0 <= row && row < items_.count", "0 <= row"),
        ("the token of a leaf on all levels", "node = trie.parent_with_warp(node, lane);", ";"),
    ),
    *_planted(
        "csrc/trie/cuda_build_nodes.h",
        "trie_build_cuda",
        ("the nodes of earlier warps not counted", "for (int w = 0; w < warp; ++w) node += counts.nodes[w];", ""),
        ("negative ids behind positive ones", " ^ kSignBit", ""),
    ),
    *_planted(
        "csrc/trie/cuda_build_sids.h",
        "trie_build_cuda",
        ("levels sorted in the order of rows", "a.starts ? place : a.rows[place]", "place"),
        ("no lower bound on tokens to build from", "is_good &= 0 <= token && token", "is_good &= token"),
        ("equal neighbours taken for ascending ids", "a.item_ids[row] <= a.item_ids[row - 1]", "a.item_ids[row] < a.item_ids[row - 1]"),
    ),
    *_planted(
        "csrc/trie/cuda_candidate.h",
        "trie_cuda shapes",
        ("equal scores resolved to the highest parent", "Key(kMostBeams - 1 - parent) << kChildBits", "Key(parent) << kChildBits", "return kMostBeams - 1 - static_cast<int>(key", "return static_cast<int>(key"),
        ("negative zero below zero", "__float_as_uint(value + 0.0f)", "__float_as_uint(value)"),
        ("equal scores resolved to the highest token", "Key(kMostVocab - 1 - child)", "Key(child)", "return kMostVocab - 1 - static_cast<int>(key", "return static_cast<int>(key"),
    ),
    *_planted(
        "csrc/trie/cuda_find.h",
        "trie_lookups_cuda find",
        ("the last token of a semantic ID not looked up", "level < a.length && node >= 0;", "level < a.length - 1 && node >= 0;"),
    ),
    *_planted(
        "csrc/trie/cuda_item_sets.h",
        "trie_lookups_cuda sets",
        ("items past the end of a mask", "left >= 32 ? ~0u : (1u << left) - 1;", "~0u;"),
        ("no barrier between the steps of the sort of bans", "distance);\n      }\n      __syncthreads();", "distance);\n      }"),
        ("no barrier before bans are sorted", "__syncthreads();\n  sort_with_block", "sort_with_block"),
        ("an offset past the ids accepted", " && (i < rows || offsets[rows] == count)", ""),
    ),
    *_planted(
        "csrc/trie/cuda_items.h",
        "trie_lookups_cuda items",
        ("no barrier before the rows of copies", "a.count - 1, end - 1);\n  __syncthreads();", "a.count - 1, end - 1);"),
        ("copies that end at their first row", "0, a.count - 1, end - 1);", "0, a.count - 1, begin);"),
        ("no bound on nodes of items", "&& -1 <= node && node < a.trie.num_nodes", ""),
    ),
    *_planted(
        "csrc/trie/cuda_items.h",
        "trie_lookups_cuda sets",
        ("a mask of the row after", "if (offsets[middle] <= entry)", "if (offsets[middle] <= entry + 1)"),
    ),
    *_planted(
        "csrc/trie/cuda_log_sum_exp.h",
        "trie_cuda shapes",
        ("the end of a row of logits is not summed", "tail + me; i < count;", "tail + me; i < count - 1;"),
        ("a sum that is not rescaled to a new maximum", "if (to > max && max > -kInfinity) sum *= exponential(max - to);", ""),
    ),
    *_planted(
        "csrc/trie/cuda_merge_tiles.h",
        "trie_cuda sizes",
        ("a merge that drops the key at the cut", "selection.raise_cut(cut == 0 ? 0 : cut - 1);", "selection.raise_cut(cut);"),
    ),
    *_planted(
        "csrc/trie/cuda_next_logits.h",
        "next_logits_cuda",
        ("no barrier after the node is found", "find_node();\n    __syncthreads();", "find_node();"),
        ("no barrier before the end tokens", "if (goes_on) return;\n    __syncthreads();", "if (goes_on) return;"),
        ("a bitmap without its last word", "return (vocab + 31) / 32 + 1;", "return (vocab + 31) / 32;"),
        ("the mask of another row", "row / a.rows_per_mask : 0;", "row % a.rows_per_mask : 0;"),
    ),
    *_planted(
        "csrc/trie/cuda_score_tiles.h",
        "trie_cuda errors",
        ("no bound on nodes", "0 <= node && node < trie_.num_nodes && ", ""),
        ("no bound on tokens", "return 0 <= token && token < a_.vocab;", "return 0 <= token;"),
    ),
    *_planted(
        "csrc/trie/cuda_score_tiles.h",
        "trie_cuda shapes",
        ("no barrier after the beams are prepared", "shared_.beams[slot] = state;\n      __syncthreads();", "shared_.beams[slot] = state;"),
        ("a mask that is not applied to candidates", "if (has_bad_logit || !filter_.allows_all())", "if (has_bad_logit)"),
    ),
    *_planted(
        "csrc/trie/cuda_score_tiles.h",
        "trie_cuda sizes",
        ("no barrier before the next beams", "__syncthreads();  // the beams in shared memory may change", ""),
    ),
    *_planted(
        "csrc/trie/cuda_selection.h",
        "trie_cuda shapes",
        ("no barrier between the steps of the sort", "}\n        }\n        __syncthreads();\n      }", "}\n        }\n      }"),
        ("a key's position off by one", "((1u << lane) - 1))] = key;", "((2u << lane) - 1))] = key;"),
    ),
    *_planted(
        "csrc/trie/cuda_selection.h",
        "trie_cuda sizes",
        ("no barrier before a reduction moves keys", "// Keys move only to positions that have been read.\n      __syncthreads();", ""),
        ("no barrier between reading the size and adding keys", "__syncthreads();  // a fast warp must not add keys before all have read the size", ""),
        ("no barrier after clearing the histogram", "state_.histogram[i] = 0;\n    __syncthreads();", "state_.histogram[i] = 0;"),
        ("one key too few after a reduction", "= static_cast<unsigned>(keep_);", "= static_cast<unsigned>(keep_) - 1;"),
    ),
    *_planted(
        "csrc/trie/cuda_trie.h",
        "trie_beam_items_cuda",
        ("items counted without the mask", "mask == nullptr ? ~uint64_t{0} : mask[word];", "~uint64_t{0};"),
        ("the items of the next leaf counted too", "if (items.end < first + 64) bits &=", "if (items.end < first) bits &="),
        ("a rank that counts from one", "for (; rank > 0; --rank) bits", "for (; rank > 1; --rank) bits"),
    ),
    *_planted(
        "csrc/trie/cuda_trie.h",
        "trie_cuda shapes",
        ("a ban of the next item too", "items.begin = position + 1;", "items.begin = position + 2;"),
    ),
    *_planted(
        "csrc/trie/cuda_trie.h",
        "trie_lookups_cuda find",
        ("the last child never found", "return low < children.end && token", "return low + 1 < children.end && token"),
        ("a warp that continues in the next part", "begin += (count - 1) * step;", "begin += count * step;"),
    ),
    *_planted(
        "src/recops/ops/balance_assignment/triton/kernels/room.py",
        "balance_assignment/interpreted_room.py",
        ("codes past the last have room", "is_open = is_code & (tl.load(is_open_ptr + codes, mask=is_code, other=0) != 0)", "is_open = tl.load(is_open_ptr + codes, mask=is_code, other=1) != 0"),
        ("closed codes have room", "fits = is_open[None, :] & ", "fits = is_code[None, :] & "),
        ("weights not added to loads", "load[None, :] + weight[:, None] <= capacity", "load[None, :] + 0 * weight[:, None] <= capacity"),
        ("equal distances resolve to the highest tile", "is_nearer = least < best", "is_nearer = (least <= best) & (least < float('inf'))"),
        ("last dimension counted more than once", "tl.where(first_dim + offset < dim, item", "tl.where(first_dim < dim, item"),
        ("distances that overflow have no room", "distance = tl.where(total < _LARGEST, total, _LARGEST)", "distance = total"),
    ),
    *_planted(
        "src/recops/ops/coaction/triton/gradients.py",
        "coaction/interpreted_coaction.py",
        ("events past the length summed into table rows", "event_rows(inputs.history, inputs.options.lengths)", "event_rows(inputs.history, None).clamp(min=0)"),
        ("16 bits before the sum over a user's candidates", "dtype = feed.dtype if users is None else torch.float32", "dtype = torch.bfloat16"),
    ),
    *_planted(
        "src/recops/ops/coaction/triton/kernels/backward.py",
        "coaction/interpreted_coaction.py",
        ("derivative of a power without its factor", "below = power * (order + 1.0)", "below = power"),
        ("gradients past the length not cleared", "range(tl.cdiv(length, BLOCK_TIME) * BLOCK_TIME, time, BLOCK_TIME)", "range((tl.cdiv(length, BLOCK_TIME) + 1) * BLOCK_TIME, time, BLOCK_TIME)"),
        ("gradient of a hidden output dropped", "grad = grad + scale * own[None, :]", "grad = grad + 0.0 * own[None, :]"),
        ("gradients of the last order only", "total = tl.dot(tl.trans(inputs), grad, sums[INDEX], input_precision=\"ieee\")", "total = tl.dot(tl.trans(inputs), grad, 0 * sums[INDEX], input_precision=\"ieee\")"),
    ),
    *_planted(
        "src/recops/ops/coaction/triton/kernels/candidate.py",
        "coaction/interpreted_coaction.py",
        ("weights of a layer one value late", "at = number * SET_WIDTH + WEIGHTS_AT[layer]\n", "at = number * SET_WIDTH + WEIGHTS_AT[layer] + 1\n"),
        ("sum not divided by the length", "scale = 1.0 / tl.maximum(length, 1).to(tl.float32)", "scale = 1.0"),
        ("history of the candidate's number", "user = tl.load(users_ptr + candidate).to(tl.int64)", "user = candidate % num_users"),
        ("targets out of range not refused", "(row >= 0) & (row < params_rows)", "(row >= 0) & (row <= params_rows)"),
        ("rows of the history out of range not refused", "is_read = is_event & (rows >= 0) & (rows < feed_rows)", "is_read = is_event & (rows >= 0) & (rows < feed_rows - 1)"),
    ),
    *_planted(
        "src/recops/ops/coaction/triton/kernels/forward.py",
        "coaction/interpreted_coaction.py",
        ("events past the length not masked", "is_event = steps < length", "is_event = steps < time"),
        ("second tile of events dropped", "for first in range(0, length, BLOCK_TIME):", "for first in range(0, tl.minimum(length, BLOCK_TIME), BLOCK_TIME):"),
        ("one set of weights for all orders", "set_ptr = params_ptr + (order % SETS) * SET_WIDTH", "set_ptr = params_ptr"),
    ),
    *_planted(
        "src/recops/ops/coaction/triton/kernels/layers.py",
        "coaction/interpreted_coaction.py",
        ("columns past the width not masked", "return is_event[:, None] & (tl.arange(0, WIDTH) < DIM)[None, :]", "return is_event[:, None] & (tl.arange(0, WIDTH) < WIDTH)[None, :]"),
        ("bias added once instead of once per event", "value += length * row_tile(bias_ptr", "value += 1.0 * row_tile(bias_ptr"),
    ),
    *_planted(
        "src/recops/ops/codebook_overlap/triton/kernels/overlap.py",
        "codebook_overlap/interpreted_overlap.py",
        ("slope of the minimum not zero at the cusp", "slope = tl.where(is_equal, 0.0, slope * (_TWO_OVER_ROOT_PI * scale))", "slope = slope / tl.where(is_equal, 0.0, 1.0) * (_TWO_OVER_ROOT_PI * scale)"),
        ("slope without its factor", "slope = overlap * (2 * scale)", "slope = overlap * scale"),
        ("small overlaps count as zero", "tl.exp2(tl.where(exponent < -126.0, -126.0, exponent))", "tl.exp2(exponent)"),
    ),
    *_planted(
        "src/recops/ops/codebook_overlap/triton/kernels/pairs.py",
        "codebook_overlap/interpreted_overlap.py",
        ("codewords past the last counted", "tl.where(is_other[None, :], overlap * value[None, :], 0.0)", "overlap * value[None, :] + tl.where(is_other, 0.0, 1.0)[None, :]"),
        ("codewords of the next split counted", "range(begin, tl.minimum(begin + SPLIT, size), BLOCK_OTHERS)", "range(begin, tl.minimum(begin + SPLIT + 1, size), BLOCK_OTHERS)"),
        ("gradient of one side of a pair", " + own_usage[:, None] * grad[None, :]", ""),
        ("forces of a block at the codebook's first codewords", "    rows = first + local\n", "    rows = local\n"),
        ("last codeword of a split counted twice", "force = tl.where(start + offset < end, force, 0.0)", "force = tl.where(start + offset <= end, force, 0.0)"),
        ("gradients of all splits in the first", "split = tl.program_id(2).to(tl.int64) * size * dim", "split = tl.program_id(2).to(tl.int64) * 0"),
    ),
    *_planted(
        "src/recops/ops/codebook_overlap/triton/launch.py",
        "codebook_overlap/interpreted_overlap.py",
        ("gradient of usage without the share of the overlap", "pairs.sum_overlaps(grad + share, sums", "pairs.sum_overlaps(grad, sums"),
    ),
    *_planted(
        "src/recops/ops/embedding/triton/kernels/row_sums.py",
        "embedding/interpreted_row_sums.py",
        ("end of a row not respected", "is_entry = is_piece & (begin + i < end)", "is_entry = is_piece & (begin + i < end + 1)"),
        ("pieces of a row after the first block dropped", "for begin in range(0, tl.max(count, 0), BLOCK_PIECES):", "for begin in range(0, tl.minimum(tl.max(count, 0), 1), BLOCK_PIECES):"),
        ("piece of the next row added", "is_piece = at[None, :] < count[:, None]", "is_piece = at[None, :] <= count[:, None]"),
        ("repeats ignored", ".to(tl.int64) // REPEATS", ".to(tl.int64) % num_rows"),
        ("weights not applied", "values = values * weight[:, None]", "values = values * 1.0"),
    ),
    *_planted(
        "src/recops/ops/embedding/triton/row_sums.py",
        "embedding/interpreted_row_sums.py",
        ("entries of no row summed into row 0", "starts = torch.searchsorted(ordered, all_rows, out_int32=True)", "starts = torch.searchsorted(ordered.clamp(min=0), all_rows, out_int32=True)"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/beams.py",
        "residual_quantization/interpreted_beams.py",
        ("codewords not shifted", "torch.cat([wide[: sizes[0]] - self.shift,", "torch.cat([wide[: sizes[0]],"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/codes.py",
        "residual_quantization/interpreted_codes.py",
        ("gradients not repeated per level", "sum_sorted(grad, _sort(codes, sizes), repeats=len(sizes), dtype=grad.dtype)", "sum_sorted(grad.repeat(len(sizes), 1), _sort(codes, sizes), dtype=grad.dtype)"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/codewords.py",
        "residual_quantization/interpreted_triton.py",
        ("norm of the codewords not scaled", "scaled_halves[own] = halves[own] * scale * scale", "scaled_halves[own] = halves[own]"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/codes.py",
        "residual_quantization/interpreted_codes.py",
        ("codes reach into the next level", "is_word = (code >= 0) & (code < SIZES[level])\n        is_wrong", "is_word = (code >= 0) & (code <= SIZES[level])\n        is_wrong"),
        ("wrong codes count as no code", "is_wrong = is_wrong | ((code != -1) & ~is_word)", "is_wrong = is_wrong | (code < -1)"),
        ("levels start at the first codeword", ".to(tl.int64) + STARTS[level]", ".to(tl.int64)"),
        ("columns past the last read", "mask=is_row[:, None] & is_column[None, :],", "mask=is_row[:, None] & (columns <= dim)[None, :],"),
        ("gradients of wrong codes added to the next level", "is_word = (code >= 0) & (code < SIZES[level])\n        word = tl.where(is_word, code, 0).to(tl.int32)", "is_word = code >= 0\n        word = tl.where(is_word, code, 0).to(tl.int32)"),
        ("weights after the first block dropped", "for first in range(begin, end, BLOCK_ENTRIES):", "for first in range(begin, tl.minimum(end, begin + 1), BLOCK_ENTRIES):"),
        ("weights added in float32", "total += weight.to(tl.float32).to(tl.float64)", "total = (total + weight).to(tl.float32)"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/exact.py",
        "residual_quantization/interpreted_triton.py",
        ("equal pair resolves to the higher code", "tl.where(is_equal, one < two, one_score < two_score)", "tl.where(is_equal, one > two, one_score < two_score)"),
        ("equal scores resolve to the highest code", "key = (_sortable(best).to(tl.int64) << 32) | code.to(tl.int64)", "key = (_sortable(best).to(tl.int64) << 32) | (4095 - code).to(tl.int64)"),
        ("keys not reset", "tl.full([BLOCK_ROWS], _NO_KEY, tl.int64)", "key"),
        ("list longer than the programs not finished", "offsets = tl.arange(0, BLOCK_DIM)\n    stride = tl.num_programs(0) * BLOCK_ROWS", "offsets = tl.arange(0, BLOCK_DIM)\n    stride = count + 1", "other=0.0)\n    stride = tl.num_programs(0) * BLOCK_ROWS", "other=0.0)\n    stride = count + 1", "count = tl.load(counts_ptr + 1)\n    stride = tl.num_programs(0) * BLOCK_ROWS", "count = tl.load(counts_ptr + 1)\n    stride = count + 1"),
        ("codewords not shifted", "return tile.to(tl.float32) - shift[None, :]", "return tile.to(tl.float32)"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/half_norms.py",
        "residual_quantization/interpreted_triton.py",
        ("half norms without the shift", "value.to(tl.float32) - tl.load(shift_ptr + d)", "value.to(tl.float32) - 0 * tl.load(shift_ptr + d)"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/paths.py",
        "residual_quantization/interpreted_beams.py",
        ("infinite scores taken as known", "tl.abs(score) < float(\"inf\")", "tl.abs(score) <= float(\"inf\")"),
        ("fewer than k scores below infinity taken as known", "(tl.max((score < float(\"inf\")).to(tl.int32) ^ 1, 0) == 0)", "(tl.max((score <= float(\"inf\")).to(tl.int32) ^ 1, 0) == 0)"),
        ("rows that are not finite taken as known", "excess += x - x", "excess += tl.zeros([BLOCK_DIM], tl.float32)"),
        ("equal errors share a rank", "rank += tl.sum(((is_less | is_earlier)", "rank += tl.sum(((is_less)"),
        ("levels subtracted from the last", "codes[LEVELS - 1 - level]", "codes[level]"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/products.py",
        "residual_quantization/interpreted_beams.py",
        ("rows not shifted", "other=0.0)[None, :] - row", "other=0.0)[None, :] * 0 - row"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/residuals.py",
        "residual_quantization/interpreted_triton.py",
        ("earlier level starts one codeword late", "tl.load(starts_ptr + earlier) + tl.maximum(code, 0)", "tl.load(starts_ptr + earlier) + 1 + tl.maximum(code, 0)"),
        ("bound too small", "tl.where(is_usable, bound * _SLACK,", "tl.where(is_usable, bound * 0.25,"),
        ("rounding of the rows not in the bound", " + lost_norm * _SLACK", ""),
        ("rows not shifted", "return row, residual - tl.load(shift_ptr", "return row, residual - 0 * tl.load(shift_ptr"),
        ("rows with a NaN not refused", "is_finite = (row_excess == 0) & ", "is_finite = "),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/scan.py",
        "residual_quantization/interpreted_triton.py",
        ("tail of codewords not masked", "tl.where(is_column[None, :], lower, _NO_SCORE)", "lower"),
        ("level starts one codeword late", "(start + columns)[None, :] * padded_dim", "(start + 1 + columns)[None, :] * padded_dim"),
        ("third candidate dropped in a merge", "tl.minimum(tl.where(is_b, b3, a3), tl.where(is_b, a2, b2))", "tl.where(is_b, b3, a3)"),
        ("columns of a tile counted from the first tile", "return first_column + (value", "return 0 * first_column + (value"),
        ("tail of rows not masked", "is_pair = is_pair & is_row", "is_pair = is_pair"),
    ),
    *_planted(
        "src/recops/ops/residual_quantization/triton/kernels/selection.py",
        "residual_quantization/interpreted_beams.py",
        ("equal scores selected beyond the count", "is_chosen = is_below | (is_last & (equal <= missing))", "is_chosen = is_below | is_last"),
        ("ranks of equal scores counted twice", "(running >> 16) + tl.minimum(equal, missing) - 1", "(running >> 16) + equal - 1"),
        ("ranks start anew with each path", "tl.cumsum(counts, 1) + (tl.cumsum(totals, 0) - totals)[:, None]", "tl.cumsum(counts, 1)"),
        ("lowest bit of the last score not searched", "for bit in range(31):", "for bit in range(30):"),
        ("codes past the last selected", "return tl.where(is_candidate, keys, _MOST)", "return keys"),
        ("scores of paths not added", "score += tl.load(own, mask=is_parent, other=0.0)[:, None]", "score += 0 * tl.load(own, mask=is_parent, other=0.0)[:, None]"),
        ("products with the first level only", "word = STARTS[LEVEL - 1 - back] + position", "word = STARTS[0] + position"),
        ("lists of a row one entry late", "at = (row * lists + number)[:, None] * beam + entry[None, :]", "at = (row * lists + number)[:, None] * beam + entry[None, :] + 1"),
    ),
]
