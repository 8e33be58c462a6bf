"""Defects planted in the CUDA kernels, each of which a run on the host must find."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

needs_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None, reason="building the drivers needs cmake"
)


@dataclass(frozen=True)
class Defect:
    """A change of a kernel, and a run of a driver that it makes fail."""

    name: str
    file: str
    run: str
    changes: dict[str, str]


DEFECTS = [
    Defect(
        "no barrier between the steps of a scan",
        "recurrent/cuda_forward.h",
        "recurrent_cuda shapes",
        {
            "store_states((t + 1) % 2);\n      __syncthreads();": "store_states((t + 1) % 2);",
        },
    ),
    Defect(
        "no barrier before the product with r·h",
        "recurrent/cuda_step.h",
        "recurrent_cuda shapes",
        {
            "    __syncthreads();\n    add_products(weights_ + 2": "    add_products(weights_ + 2",
        },
    ),
    Defect(
        "no barrier between the steps of a backward scan",
        "recurrent/cuda_backward.h",
        "recurrent_cuda shapes",
        {
            "step(t, inputs);\n      __syncthreads();": "step(t, inputs);",
        },
    ),
    Defect(
        "no barrier before the products of gradients",
        "recurrent/cuda_backward.h",
        "recurrent_cuda shapes",
        {
            "n_sums[i], dq);\n    }\n    __syncthreads();": "n_sums[i], dq);\n    }",
        },
    ),
    Defect(
        "no barrier before gates are recomputed",
        "recurrent/cuda_backward.h",
        "recurrent_cuda shapes",
        {
            "    __syncthreads();\n    stepper_.find_gates(": "    stepper_.find_gates(",
        },
    ),
    Defect(
        "no barrier after the product of a tile",
        "recurrent/cuda_tiles.h",
        "recurrent_cuda shapes",
        {
            "add_tile(memory, sums);\n    __syncthreads();": "add_tile(memory, sums);",
        },
    ),
    Defect(
        "no barrier before the tile of a weight gradient",
        "recurrent/cuda_gradients.h",
        "recurrent_cuda shapes",
        {
            "    __syncthreads();\n    add_tile(memory, sums);": "    add_tile(memory, sums);",
        },
    ),
    Defect(
        "no barrier after rows, weights and states are stored",
        "recurrent/cuda_forward.h",
        "recurrent_cuda shapes",
        {
            "store_states(0);\n    __syncthreads();": "store_states(0);",
        },
    ),
    Defect(
        "a step past the length",
        "recurrent/cuda_forward.h",
        "recurrent_cuda shapes",
        {
            "t < block_.lengths[first_ + i]; }": "t <= block_.lengths[first_ + i]; }",
        },
    ),
    Defect(
        "the state after a step taken as the one before",
        "recurrent/cuda_backward.h",
        "recurrent_cuda shapes",
        {
            "states[(row * scan.steps + t - 1) *": "states[(row * scan.steps + t) *",
        },
    ),
    Defect(
        "the last states of a matrix dropped",
        "common/device_quads.h",
        "recurrent_cuda shapes",
        {
            "return (count + kQuad - 1) / kQuad;": "return count / kQuad;",
        },
    ),
    Defect(
        "padding in weight gradients",
        "recurrent/cuda_gradients.h",
        "recurrent_cuda shapes",
        {
            "if (step >= rows.find(row, source))": "if (rows.find(row, source) < 0)",
        },
    ),
    Defect(
        "the attention of one warp of units",
        "recurrent/cuda_backward.h",
        "recurrent_cuda sizes",
        {
            "warp < rows; ++warp) sum": "warp < 1; ++warp) sum",
        },
    ),
    Defect(
        "a group of rows dropped",
        "recurrent/cuda_gradients.h",
        "recurrent_cuda sizes",
        {
            "for (int group = 0; group < a.groups;": "for (int group = 1; group < a.groups;",
        },
    ),
    Defect(
        "shared gates in the order of rows",
        "recurrent/cuda_gradients.h",
        "recurrent_cuda shapes",
        {
            "a.gate_grads[a.order[at] * a.width + i]": "a.gate_grads[at * a.width + i]",
        },
    ),
    Defect(
        "a length past the steps accepted",
        "recurrent/cuda_block.h",
        "recurrent_cuda errors",
        {
            "return 0 <= length && length <= steps ?": "return 0 <= length ?",
        },
    ),
    Defect(
        "no lower bound on sources",
        "recurrent/cuda_block.h",
        "recurrent_cuda errors",
        {
            "source < 0 || source >= sources": "source >= sources",
        },
    ),
    Defect(
        "shared memory of the variables not counted",
        "common/shared_memory.h",
        "trie_cuda sizes",
        {"32 << 10": "48 << 10"},
    ),
    Defect(
        "no barrier before a reduction moves keys",
        "trie/cuda_selection.h",
        "trie_cuda sizes",
        {
            "// Keys move only to positions that have been read.\n      __syncthreads();": "",
        },
    ),
    Defect(
        "no barrier between reading the size and adding keys",
        "trie/cuda_selection.h",
        "trie_cuda sizes",
        {
            "__syncthreads();  // a fast warp must not add keys before all have read the size": "",
        },
    ),
    Defect(
        "no barrier after clearing the histogram",
        "trie/cuda_selection.h",
        "trie_cuda sizes",
        {
            "state_.histogram[i] = 0;\n    __syncthreads();": "state_.histogram[i] = 0;",
        },
    ),
    Defect(
        "no barrier between the steps of the sort",
        "trie/cuda_selection.h",
        "trie_cuda shapes",
        {
            "}\n        }\n        __syncthreads();\n      }": "}\n        }\n      }",
        },
    ),
    Defect(
        "no barrier after the beams are prepared",
        "trie/cuda_score_tiles.h",
        "trie_cuda shapes",
        {
            "shared_.beams[slot] = state;\n      __syncthreads();": "shared_.beams[slot] = state;",
        },
    ),
    Defect(
        "no barrier before the next beams",
        "trie/cuda_score_tiles.h",
        "trie_cuda sizes",
        {
            "__syncthreads();  // the beams in shared memory may change": "",
        },
    ),
    Defect(
        "a key's position off by one",
        "trie/cuda_selection.h",
        "trie_cuda shapes",
        {
            "((1u << lane) - 1))] = key;": "((2u << lane) - 1))] = key;",
        },
    ),
    Defect(
        "one key too few after a reduction",
        "trie/cuda_selection.h",
        "trie_cuda sizes",
        {
            "= static_cast<unsigned>(keep_);": "= static_cast<unsigned>(keep_) - 1;",
        },
    ),
    Defect(
        "a merge that drops the key at the cut",
        "trie/cuda_merge_tiles.h",
        "trie_cuda sizes",
        {
            "selection.raise_cut(cut == 0 ? 0 : cut - 1);": "selection.raise_cut(cut);",
        },
    ),
    Defect(
        "equal scores resolved to the highest parent",
        "trie/cuda_candidate.h",
        "trie_cuda shapes",
        {
            "Key(kMostBeams - 1 - parent) << kChildBits": "Key(parent) << kChildBits",
            "return kMostBeams - 1 - static_cast<int>(key": "return static_cast<int>(key",
        },
    ),
    Defect(
        "negative zero below zero",
        "trie/cuda_candidate.h",
        "trie_cuda shapes",
        {
            "__float_as_uint(value + 0.0f)": "__float_as_uint(value)",
        },
    ),
    Defect(
        "a mask that is not applied to candidates",
        "trie/cuda_score_tiles.h",
        "trie_cuda shapes",
        {
            "if (has_bad_logit || !filter_.allows_all())": "if (has_bad_logit)",
        },
    ),
    Defect(
        "one mask for all rows",
        "trie/cuda_batch.h",
        "trie_cuda shapes",
        {
            "trie.mask + int64_t{b} * trie.mask_words": "trie.mask",
        },
    ),
    Defect(
        "a ban of the next item too",
        "trie/cuda_trie.h",
        "trie_cuda shapes",
        {
            "items.begin = position + 1;": "items.begin = position + 2;",
        },
    ),
    Defect(
        "no bound on nodes",
        "trie/cuda_score_tiles.h",
        "trie_cuda errors",
        {
            "0 <= node && node < trie_.num_nodes && ": "",
        },
    ),
    Defect(
        "no bound on tokens",
        "trie/cuda_score_tiles.h",
        "trie_cuda errors",
        {
            "return 0 <= token && token < a_.vocab;": "return 0 <= token;",
        },
    ),
    Defect(
        "no check of a mask's version",
        "trie/cuda_batch.h",
        "trie_cuda errors",
        {
            "|| trie.mask_stamp[0] != trie.stamp[0]": "",
        },
    ),
    Defect(
        "the end of a row of logits is not summed",
        "trie/cuda_log_sum_exp.h",
        "trie_cuda shapes",
        {
            "tail + me; i < count;": "tail + me; i < count - 1;",
        },
    ),
    Defect(
        "a sum that is not rescaled to a new maximum",
        "trie/cuda_log_sum_exp.h",
        "trie_cuda shapes",
        {
            "if (to > max && max > -kInfinity) sum *= exponential(max - to);": "",
        },
    ),
    Defect(
        "no barrier after the node is found",
        "trie/cuda_next_logits.h",
        "next_logits_cuda",
        {
            "find_node();\n    __syncthreads();": "find_node();",
        },
    ),
    Defect(
        "no barrier before the end tokens",
        "trie/cuda_next_logits.h",
        "next_logits_cuda",
        {
            "if (goes_on) return;\n    __syncthreads();": "if (goes_on) return;",
        },
    ),
    Defect(
        "a bitmap without its last word",
        "trie/cuda_next_logits.h",
        "next_logits_cuda",
        {
            "return (vocab + 31) / 32 + 1;": "return (vocab + 31) / 32;",
        },
    ),
    Defect(
        "the mask of another row",
        "trie/cuda_next_logits.h",
        "next_logits_cuda",
        {
            "row / a.rows_per_mask : 0;": "row % a.rows_per_mask : 0;",
        },
    ),
    Defect(
        "equal scores resolved to the highest token",
        "trie/cuda_candidate.h",
        "trie_cuda shapes",
        {
            "Key(kMostVocab - 1 - child)": "Key(child)",
            "return kMostVocab - 1 - static_cast<int>(key": "return static_cast<int>(key",
        },
    ),
    Defect(
        "padding that is summed",
        "embedding/cuda_sum_bags.h",
        "embedding_cuda sums",
        {"is_wrong || id == feature.padding ? -1": "is_wrong ? -1"},
    ),
    Defect(
        "no upper bound on ids",
        "embedding/cuda_sum_bags.h",
        "embedding_cuda sums",
        {"id < 0 || id >= feature.num_rows;": "id < 0;"},
    ),
    Defect(
        "the last id of a bag dropped",
        "embedding/cuda_sum_bags.h",
        "embedding_cuda sums",
        {"begin + i < feature.each ?": "begin + i < feature.each - 1 ?"},
    ),
    Defect(
        "columns of a lane off by one",
        "embedding/cuda_sum_bags.h",
        "embedding_cuda sums",
        {"for (int column = lane * count;": "for (int column = lane * count + 1;"},
    ),
    Defect(
        "sums of bfloat16 truncated",
        "common/device_floats.h",
        "embedding_cuda sums bf16",
        {"bits + 0x7fffu + (bits >> 16 & 1);": "bits;"},
    ),
    Defect(
        "an occurrence given to the feature before",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"occurrence >= sources[i + 1].begin": "occurrence > sources[i + 1].begin"},
    ),
    Defect(
        "padding that has a gradient",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"id >= num_rows || id == padding ?": "id >= num_rows ?"},
    ),
    Defect(
        "a run that continues, written as if it ended",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"if (starts_here && ends_here) return": "if (starts_here) return"},
    ),
    Defect(
        "a run joined over two chunks only",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"chunk < a_.chunks && a_.keys": "chunk < chunk_ + 2 && chunk < a_.chunks && a_.keys"},
    ),
    Defect(
        "a run joined from its middle too",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"if (begin_ > 0 && a_.keys[begin_ - 1] == key) return;": ""},
    ),
    Defect(
        "a sum that is not cleared for the next run",
        "embedding/cuda_gradient.h",
        "embedding_cuda gradient",
        {"starts_here = true;\n          sum.clear();": "starts_here = true;"},
    ),
    Defect(
        "a square that lacks lanes of the row",
        "embedding/cuda_update.h",
        "embedding_cuda update",
        {"int bits = a.lanes / 2;": "int bits = a.lanes / 4;"},
    ),
    Defect(
        "a mean square added by every lane",
        "embedding/cuda_update.h",
        "embedding_cuda update",
        {"if (lane == first) a.state": "a.state"},
    ),
    Defect(
        "weight decay that does not reach the state",
        "embedding/cuda_update.h",
        "embedding_cuda update",
        {"gradient = decayed(a, sum, weights);\n      }": "gradient = sum;\n      }"},
    ),
    Defect(
        "an Adagrad state of the column before",
        "embedding/cuda_update.h",
        "embedding_cuda update",
        {"a.state[at + i] = square;": "a.state[at + i / 2] = square;"},
    ),
    Defect(
        "the last child never found",
        "trie/cuda_trie.h",
        "trie_lookups_cuda find",
        {"return low < children.end && token": "return low + 1 < children.end && token"},
    ),
    Defect(
        "a warp that continues in the next part",
        "trie/cuda_trie.h",
        "trie_lookups_cuda find",
        {"begin += (count - 1) * step;": "begin += count * step;"},
    ),
    Defect(
        "no barrier before the sums of warps are read",
        "common/device_prefix_sums.h",
        "trie_lookups_cuda items",
        {"= through;\n  __syncthreads();": "= through;"},
    ),
    Defect(
        "the sum of all warps taken as that of the earlier ones",
        "common/device_prefix_sums.h",
        "trie_lookups_cuda items",
        {"if (w < warp) before": "before"},
    ),
    Defect(
        "no barrier before the rows of copies",
        "trie/cuda_items.h",
        "trie_lookups_cuda items",
        {"a.count - 1, end - 1);\n  __syncthreads();": "a.count - 1, end - 1);"},
    ),
    Defect(
        "copies that end at their first row",
        "trie/cuda_items.h",
        "trie_lookups_cuda items",
        {"0, a.count - 1, end - 1);": "0, a.count - 1, begin);"},
    ),
    Defect(
        "no bound on nodes of items",
        "trie/cuda_items.h",
        "trie_lookups_cuda items",
        {"&& -1 <= node && node < a.trie.num_nodes": ""},
    ),
    Defect(
        "no bound on allowed tokens",
        "trie/cuda_allowed_tokens.h",
        "trie_lookups_cuda tokens",
        {"0 <= token && token < a.vocab_size": "0 <= token"},
    ),
    Defect(
        "no barrier before the counts of digits are read",
        "common/device_radix_sort.h",
        "trie_build_cuda",
        {"uint32_t{1});\n  __syncthreads();\n  a.counts": "uint32_t{1});\n  a.counts"},
    ),
    Defect(
        "no barrier before a warp counts its keys",
        "common/device_radix_sort.h",
        "trie_build_cuda",
        {"__popc(before));\n    __syncwarp();": "__popc(before));"},
    ),
    Defect(
        "no barrier before keys move",
        "common/device_radix_sort.h",
        "trie_build_cuda",
        {"place += count;\n  }\n  __syncthreads();": "place += count;\n  }"},
    ),
    Defect(
        "a sort that is not stable",
        "common/device_radix_sort.h",
        "trie_build_cuda",
        {"before = equal & ((1u << lane) - 1)": "before = equal & ~((2u << lane) - 1)"},
    ),
    Defect(
        "the keys of earlier tiles not counted",
        "common/device_radix_sort.h",
        "trie_build_cuda",
        {" +\n                   a.counts[digit_of_thread * a.tiles + blockIdx.x];": ";"},
    ),
    Defect(
        "levels sorted in the order of rows",
        "trie/cuda_build_sids.h",
        "trie_build_cuda",
        {"a.starts ? place : a.rows[place]": "place"},
    ),
    Defect(
        "no lower bound on tokens to build from",
        "trie/cuda_build_sids.h",
        "trie_build_cuda",
        {"is_good &= 0 <= token && token": "is_good &= token"},
    ),
    Defect(
        "equal neighbours taken for ascending ids",
        "trie/cuda_build_sids.h",
        "trie_build_cuda",
        {"a.item_ids[row] <= a.item_ids[row - 1]": "a.item_ids[row] < a.item_ids[row - 1]"},
    ),
    Defect(
        "the nodes of earlier warps not counted",
        "trie/cuda_build_nodes.h",
        "trie_build_cuda",
        {"for (int w = 0; w < warp; ++w) node += counts.nodes[w];": ""},
    ),
    Defect(
        "negative ids behind positive ones",
        "trie/cuda_build_nodes.h",
        "trie_build_cuda",
        {" ^ kSignBit": ""},
    ),
    Defect(
        "items counted without the mask",
        "trie/cuda_trie.h",
        "trie_beam_items_cuda",
        {"mask == nullptr ? ~uint64_t{0} : mask[word];": "~uint64_t{0};"},
    ),
    Defect(
        "the items of the next leaf counted too",
        "trie/cuda_trie.h",
        "trie_beam_items_cuda",
        {"if (items.end < first + 64) bits &=": "if (items.end < first) bits &="},
    ),
    Defect(
        "a rank that counts from one",
        "trie/cuda_trie.h",
        "trie_beam_items_cuda",
        {"for (; rank > 0; --rank) bits": "for (; rank > 1; --rank) bits"},
    ),
    Defect(
        "equal priors resolved to the highest position",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"(of_other == prior && other < position)": "(of_other == prior && other > position)"},
    ),
    Defect(
        "large leaves left out",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"for (int i = 0; i < num_large; ++i)": "for (int i = 1; i < num_large; ++i)"},
    ),
    Defect(
        "no barrier before the large leaves are read",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"before += total;\n    }\n    __syncthreads();": "before += total;\n    }"},
    ),
    Defect(
        "no barrier before an error is read",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"leaves();\n    }\n    __syncthreads();\n    if": "leaves();\n    }\n    if"},
    ),
    Defect(
        "an inner node taken for a leaf",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"&& trie_.first_child[node] >= trie_.num_nodes": ""},
    ),
    Defect(
        "no check of the rows of items",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"0 <= row && row < items_.count": "0 <= row"},
    ),
    Defect(
        "the token of a leaf on all levels",
        "trie/cuda_beam_items.h",
        "trie_beam_items_cuda",
        {"node = trie.parent_with_warp(node, lane);": ";"},
    ),
    Defect(
        "items past the end of a mask",
        "trie/cuda_item_sets.h",
        "trie_lookups_cuda sets",
        {"left >= 32 ? ~0u : (1u << left) - 1;": "~0u;"},
    ),
    Defect(
        "a mask of the row after",
        "trie/cuda_items.h",
        "trie_lookups_cuda sets",
        {"if (offsets[middle] <= entry)": "if (offsets[middle] <= entry + 1)"},
    ),
    Defect(
        "no barrier between the steps of the sort of bans",
        "trie/cuda_item_sets.h",
        "trie_lookups_cuda sets",
        {"distance);\n      }\n      __syncthreads();": "distance);\n      }"},
    ),
    Defect(
        "no barrier before bans are sorted",
        "trie/cuda_item_sets.h",
        "trie_lookups_cuda sets",
        {"__syncthreads();\n  sort_with_block": "sort_with_block"},
    ),
    Defect(
        "an offset past the ids accepted",
        "trie/cuda_item_sets.h",
        "trie_lookups_cuda sets",
        {" && (i < rows || offsets[rows] == count)": ""},
    ),
    Defect(
        "no barrier before the candidates of a slot",
        "memory/cuda_hpmn.h",
        "memory_cuda hpmn",
        {
            "(t + 1);\n      }\n      __syncthreads();": "(t + 1);\n      }",
        },
    ),
    Defect(
        "a slot updated at every event",
        "memory/cuda_hpmn.h",
        "memory_cuda hpmn",
        {
            "if (j < block_.updated[t % 2][u]) slot": "slot",
        },
    ),
    Defect(
        "runs of events off by a warp",
        "memory/cuda_stream.h",
        "memory_cuda hpmn",
        {
            "if (w < warp) before": "if (w <= warp) before",
        },
    ),
    Defect(
        "no lower bound on rows of events",
        "memory/cuda_users.h",
        "memory_cuda hpmn",
        {
            "if (row < 0 || row >= pool) return": "if (row >= pool) return",
        },
    ),
    Defect(
        "a length past the steps of a memory accepted",
        "memory/cuda_users.h",
        "memory_cuda mimn",
        {
            "0 <= length && length <= steps ?": "0 <= length ?",
        },
    ),
    Defect(
        "no barrier after the head",
        "memory/cuda_mimn_step.h",
        "memory_cuda mimn",
        {
            "find_head();\n    __syncthreads();": "find_head();",
        },
    ),
    Defect(
        "no barrier after the weights of slots",
        "memory/cuda_mimn_step.h",
        "memory_cuda mimn",
        {
            "find_weights();\n    __syncthreads();": "find_weights();",
        },
    ),
    Defect(
        "a shift past the last slot",
        "memory/cuda_mimn_step.h",
        "memory_cuda mimn",
        {
            "content, (lane + 1) % l_.m);": "content, lane + 1);",
        },
    ),
    Defect(
        "clipping without effect on gradients",
        "memory/cuda_mimn_step_backward.h",
        "memory_cuda mimn",
        {
            "return x < -20.0f || x > 20.0f ? 0.0f : grad;": "return x == x ? grad : 0.0f;",
        },
    ),
    Defect(
        "no barrier after a frame is stored",
        "memory/cuda_mimn_backward.h",
        "memory_cuda mimn",
        {
            "next_hidden + i); });\n      __syncthreads();": "next_hidden + i); });",
        },
    ),
    Defect(
        "r·h taken for the state in a gradient",
        "memory/cuda_gradients.h",
        "memory_cuda mimn",
        {
            "row < product.last_row ? product.second :": "false ? product.second :",
        },
    ),
    Defect(
        "one part of the gradients dropped",
        "memory/cuda_repack.h",
        "memory_cuda mimn",
        {
            "for (int64_t part = 0; part < a.parts;": "for (int64_t part = 1; part < a.parts;",
        },
    ),
    Defect(
        "gradients of a slot that no event updated",
        "memory/cuda_hpmn_backward.h",
        "memory_cuda hpmn",
        {
            "if (is_updated(u)) grad.at(u, unit) = value;": "grad.at(u, unit) = value;",
        },
    ),
    Defect(
        "final gradients taken over too early",
        "memory/cuda_mimn_backward.h",
        "memory_cuda mimn",
        {
            "if (user.length == t) values_": "if (user.length <= t) values_",
        },
    ),
    Defect(
        "one event counted per user of a stream",
        "memory/cuda_mimn.h",
        "memory_cuda mimn",
        {
            "a_.counts[user.from] += user.length;": "a_.counts[user.from] += 1;",
        },
    ),
    Defect(
        "zeros instead of NaN after an error",
        "memory/cuda_block.h",
        "memory_cuda mimn",
        {
            "is_wrong ? kNan : 0.0f": "0.0f",
        },
    ),
    Defect(
        "the last segment of steps not recomputed",
        "memory/cuda_backward.h",
        "memory_cuda hpmn",
        {
            "(steps - 1) / every * every;": "steps < every ? 0 : steps / every * every - every;",
        },
    ),
    Defect(
        "columns of packed weights past the last",
        "recurrent/cuda_products.h",
        "recurrent_cuda shapes",
        {
            "unit < a.hidden && input < a.hidden;": "unit < a.hidden;",
        },
    ),
    Defect(
        "the last token of a semantic ID not looked up",
        "trie/cuda_find.h",
        "trie_lookups_cuda find",
        {
            "level < a.length && node >= 0;": "level < a.length - 1 && node >= 0;",
        },
    ),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the C++ sources with a configured build."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("csrc", "cmake"):
        shutil.copytree(ROOT / name, folder / name)
    options = ["-DCMAKE_CXX_FLAGS=-O1", "-DCMAKE_BUILD_TYPE=None", "-DRECOPS_OPTIMIZATION=-O1"]
    configure: list[str | Path] = [
        "cmake",
        "-S",
        folder / "csrc/tests",
        "-B",
        folder / "build",
        *options,
        "-G",
        "Ninja",
    ]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    return folder


def passes(sources: Path, run: str) -> bool:
    """Build the driver and return whether the run finds no defect."""
    driver, *arguments = run.split()
    build: list[str | Path] = ["cmake", "--build", sources / "build", "--target", driver]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    command: list[str | Path] = [sources / "build" / driver, *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_changes_the_source(defect: Defect) -> None:
    code = (ROOT / "csrc" / defect.file).read_text()
    assert [code.count(before) for before in defect.changes] == [1] * len(defect.changes)


@needs_cmake
@pytest.mark.full
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_found(sources: Path, defect: Defect) -> None:
    path = sources / "csrc" / defect.file
    original = code = path.read_text()
    for before, after in defect.changes.items():
        code = code.replace(before, after)
    path.write_text(code)
    try:
        assert not passes(sources, defect.run)
    finally:
        path.write_text(original)


@needs_cmake
@pytest.mark.full
@pytest.mark.parametrize("run", sorted({defect.run for defect in DEFECTS}))
def test_the_kernels_without_defects_pass(sources: Path, run: str) -> None:
    assert passes(sources, run)
