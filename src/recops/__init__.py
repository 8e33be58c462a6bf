"""Compiled kernels for recommender systems, as torch custom ops."""

from importlib import import_module
from types import ModuleType

from recops._load import cpu_isa, load_ops

load_ops()

# After load_ops(): these modules register fakes and gradients for ops that must already exist.
from recops._build_info import build_info  # noqa: E402
from recops._debug import debug  # noqa: E402
from recops._flush_subnormals import flush_subnormals  # noqa: E402
from recops.integrations.index_json import read_index_json  # noqa: E402
from recops.ops._composite import register_composites  # noqa: E402
from recops.ops._triton import register_triton  # noqa: E402
from recops.ops.balance_assignment.balance_assignment import balance_assignment  # noqa: E402
from recops.ops.coaction.coaction import coaction  # noqa: E402
from recops.ops.coaction.coaction_gather import coaction_gather  # noqa: E402
from recops.ops.coaction.coaction_multi import coaction_multi  # noqa: E402
from recops.ops.codebook_overlap.codebook_overlap import codebook_overlap  # noqa: E402
from recops.ops.codebook_overlap.effective_capacity import effective_capacity  # noqa: E402
from recops.ops.dice.dice import dice  # noqa: E402
from recops.ops.embedding.embedding_bags import embedding_bags  # noqa: E402
from recops.ops.embedding.embedding_bags_update import embedding_bags_update_  # noqa: E402
from recops.ops.memory.hpmn_read import hpmn_read  # noqa: E402
from recops.ops.memory.hpmn_scan import hpmn_scan  # noqa: E402
from recops.ops.memory.hpmn_step import hpmn_step_  # noqa: E402
from recops.ops.memory.memory_address import memory_address  # noqa: E402
from recops.ops.memory.memory_covariance import memory_covariance  # noqa: E402
from recops.ops.memory.memory_read import memory_read  # noqa: E402
from recops.ops.memory.memory_utilization import memory_utilization  # noqa: E402
from recops.ops.memory.memory_write import memory_write  # noqa: E402
from recops.ops.memory.mimn_read import mimn_read  # noqa: E402
from recops.ops.memory.mimn_scan import mimn_scan  # noqa: E402
from recops.ops.memory.mimn_step import mimn_step_  # noqa: E402
from recops.ops.next_event.next_event_loss import next_event_loss  # noqa: E402
from recops.ops.recurrent.recurrent_layer import recurrent_layer  # noqa: E402
from recops.ops.recurrent.recurrent_scan import recurrent_scan  # noqa: E402
from recops.ops.recurrent.recurrent_step import recurrent_step  # noqa: E402
from recops.ops.residual_quantization.accumulate_codes import accumulate_codes  # noqa: E402
from recops.ops.residual_quantization.code_flip_rate import code_flip_rate  # noqa: E402
from recops.ops.residual_quantization.nearest_codes import nearest_codes  # noqa: E402
from recops.ops.residual_quantization.pack_codes import pack_codes  # noqa: E402
from recops.ops.residual_quantization.rq_decode import rq_decode  # noqa: E402
from recops.ops.residual_quantization.rq_encode import rq_encode  # noqa: E402
from recops.ops.residual_quantization.rq_encode_beams import rq_encode_beams  # noqa: E402
from recops.ops.residual_quantization.straight_through import straight_through  # noqa: E402
from recops.ops.residual_quantization.unpack_codes import unpack_codes  # noqa: E402
from recops.ops.trie.constrained_beam_search import constrained_beam_search  # noqa: E402
from recops.ops.trie.item_bans import item_bans  # noqa: E402
from recops.ops.trie.trie_beam_step import trie_beam_step  # noqa: E402
from recops.state.beams import BeamResult, BeamStep  # noqa: E402
from recops.state.catalog import SidCatalog  # noqa: E402
from recops.state.hpmn import HpmnParams, HpmnState  # noqa: E402
from recops.state.item_bans import ItemBans  # noqa: E402
from recops.state.item_mask import ItemMask  # noqa: E402
from recops.state.mimn import MimnParams, MimnState  # noqa: E402
from recops.state.trie import SidTrie  # noqa: E402

register_composites()
register_triton()

__version__ = build_info()["version"]

__all__ = [
    "BeamResult",
    "BeamStep",
    "HpmnParams",
    "HpmnState",
    "ItemBans",
    "ItemMask",
    "MimnParams",
    "MimnState",
    "SidCatalog",
    "SidTrie",
    "__version__",
    "accumulate_codes",
    "balance_assignment",
    "build_info",
    "coaction",
    "coaction_gather",
    "coaction_multi",
    "code_flip_rate",
    "codebook_overlap",
    "constrained_beam_search",
    "cpu_isa",
    "debug",
    "dice",
    "effective_capacity",
    "embedding_bags",
    "embedding_bags_update_",
    "flush_subnormals",
    "hpmn_read",
    "hpmn_scan",
    "hpmn_step_",
    "item_bans",
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
    "read_index_json",
    "recurrent_layer",
    "recurrent_scan",
    "recurrent_step",
    "rq_decode",
    "rq_encode",
    "rq_encode_beams",
    "straight_through",
    "trie_beam_step",
    "unpack_codes",
]


def __getattr__(name: str) -> ModuleType:
    """Import an optional submodule at its first use, to keep ``import recops`` fast."""
    if name in ("faiss", "hf", "reference"):
        return import_module(f"recops.{name}")
    raise AttributeError(f"module 'recops' has no attribute {name!r}")
