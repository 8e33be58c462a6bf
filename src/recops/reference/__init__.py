"""Reference implementations of all ops in plain PyTorch, for tests and benchmarks."""

from recops.reference.balance_assignment import balance_assignment
from recops.reference.coaction import coaction, coaction_gather, coaction_multi
from recops.reference.codebook_overlap import codebook_overlap, effective_capacity
from recops.reference.dice import dice
from recops.reference.embedding import embedding_bags, embedding_bags_update_
from recops.reference.memory import (
    hpmn_read,
    hpmn_scan,
    hpmn_step_,
    memory_address,
    memory_covariance,
    memory_read,
    memory_utilization,
    memory_write,
    mimn_read,
    mimn_scan,
    mimn_step_,
)
from recops.reference.next_event import next_event_loss
from recops.reference.recurrent import recurrent_layer, recurrent_scan, recurrent_step
from recops.reference.residual_quantization import (
    accumulate_codes,
    code_flip_rate,
    nearest_codes,
    pack_codes,
    rq_decode,
    rq_encode,
    rq_encode_beams,
    straight_through,
    unpack_codes,
)
from recops.reference.trie import (
    constrained_beam_search,
    item_mask,
    sid_trie,
    trie_beam_step,
    trie_next_logits,
)

__all__ = [
    "accumulate_codes",
    "balance_assignment",
    "coaction",
    "coaction_gather",
    "coaction_multi",
    "code_flip_rate",
    "codebook_overlap",
    "constrained_beam_search",
    "dice",
    "effective_capacity",
    "embedding_bags",
    "embedding_bags_update_",
    "hpmn_read",
    "hpmn_scan",
    "hpmn_step_",
    "item_mask",
    "memory_address",
    "memory_covariance",
    "memory_read",
    "memory_utilization",
    "memory_write",
    "mimn_read",
    "mimn_scan",
    "mimn_step_",
    "nearest_codes",
    "next_event_loss",
    "pack_codes",
    "recurrent_layer",
    "recurrent_scan",
    "recurrent_step",
    "rq_decode",
    "rq_encode",
    "rq_encode_beams",
    "sid_trie",
    "straight_through",
    "trie_beam_step",
    "trie_next_logits",
    "unpack_codes",
]
