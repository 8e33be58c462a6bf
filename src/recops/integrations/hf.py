"""Semantic IDs in transformers ``generate()``; needs the extra ``hf``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recops._checks import check_integer, check_list
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.item_mask import ItemMask
from recops.state.token_map import TokenMap
from recops.state.trie import SidTrie

try:
    from transformers import LogitsProcessor
except ImportError as error:
    raise ImportError(
        "recops.hf needs transformers, which is not installed: pip install 'recops[hf]'"
    ) from error

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

__all__ = ["SidTrieLogitsProcessor"]

_DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "top_k": 50,
    "top_p": 1.0,
    "eos_token_id": None,
}
"""Values that ``generate()`` uses for settings that are None everywhere."""


class SidTrieLogitsProcessor(LogitsProcessor):
    """Logits processor that restricts ``generate()`` to the semantic IDs of real items.

    It works for beam search, greedy search and sampling, with decoder-only and encoder-decoder
    models::

        processor = SidTrieLogitsProcessor(
            trie, [1000, 1256, 1512], prompt_length=inputs.shape[1], eos_token_id=2
        )
        model.generate(inputs, logits_processor=[processor], num_beams=20, max_new_tokens=4)

    The allowed tokens depend only on the tokens of each sequence. Beams may therefore be reordered,
    and one processor serves any number of calls. Within a semantic ID, tokens that lead to no
    allowed item get −inf, and the others keep their score. After a semantic ID, only the end of
    sequence is allowed, with score 0. Scores of beams are log-probabilities, so ending costs
    nothing. The beams equal those of :func:`recops.constrained_beam_search` on the same
    log-probabilities with ``normalize="none"``. If there are fewer items than beams, transformers
    adds repeated or dead sequences with scores from −10⁹ down to −inf.

    With ``do_sample``, transformers applies ``top_k`` and ``top_p`` after this processor,
    which does not see them. They may leave fewer tokens than beams. :meth:`generate` refuses such
    settings.

    Args:
        trie: the catalogue. The attribute ``trie`` may be set between calls, for example to a newer
            version with the same vocabularies.
        token_map: for each level, the model's ids of its tokens: an integer tensor
            ``[vocab_sizes[l]]``, or the id of token 0 if the ids are consecutive.
        prompt_length: number of tokens before the semantic ID: the length of the (left-padded)
            prompt, or 1 for the start token of an encoder-decoder model.
        begin_token_id: alternative to ``prompt_length``: the semantic ID begins after the last such
            token. Tokens before and after the semantic ID are not restricted.
        eos_token_id: one or several end-of-sequence tokens.
        allowed: the items that may be recommended: one mask for all prompts, or one for each prompt
            of the batch. The attribute may be set between calls.

    Raises:
        TypeError: an argument is not a trie or a mask, token ids are not integers, or neither or
            both of ``prompt_length`` and ``begin_token_id`` are given.
        ValueError: ``token_map`` does not contain each token of each level exactly once, or
            contains an end or begin token.
    """

    def __init__(
        self,
        trie: SidTrie,
        token_map: Sequence[int | Tensor],
        *,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
        eos_token_id: int | Sequence[int],
        allowed: ItemMask | None = None,
    ) -> None:
        op = "SidTrieLogitsProcessor"
        if not isinstance(trie, SidTrie):
            raise TypeError(f"{op}: trie must be a SidTrie, got {type(trie).__name__}")
        if allowed is not None and not isinstance(allowed, ItemMask):
            raise TypeError(f"{op}: allowed must be an ItemMask, got {type(allowed).__name__}")
        if (prompt_length is None) == (begin_token_id is None):
            number = "neither" if prompt_length is None else "both"
            raise TypeError(f"{op}: prompt_length or begin_token_id must be given, got {number}")
        if prompt_length is not None:
            check_integer(op, "prompt_length", prompt_length)
        if begin_token_id is not None:
            check_integer(op, "begin_token_id", begin_token_id)
        self.trie = trie
        self.allowed = allowed
        tokens = TokenMap.of(token_map, trie.vocab_sizes)
        self._prompt_length = prompt_length
        self._begin_token = -1 if begin_token_id is None else begin_token_id
        ends = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
        self._end_tokens = check_list(op, "eos_token_id", ends)
        if not self._end_tokens:
            raise ValueError(f"{op}: eos_token_id must name a token, got none")
        for token in self._end_tokens:
            check_integer(op, "eos_token_id", token)
        mapped = tokens.model_tokens
        for name, ids in (("eos", self._end_tokens), ("begin", [self._begin_token])):
            if bool(torch.isin(mapped, torch.tensor(ids, device=mapped.device)).any()):
                raise ValueError(f"{op}: token_map must not hold the {name}_token_id, got {ids}")
        self._tokens = tokens.to(trie.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return ``scores [R, V]`` of ``input_ids [R, T]`` with −inf for forbidden tokens.

        Raises:
            ValueError: a mapped or end token is outside V, a mask is of another trie or batch, or
                sequences are shorter than ``prompt_length``.
        """
        return trie_next_logits(
            scores,
            input_ids,
            self.trie,
            self._tokens,
            prompt_length=self._prompt_length,
            begin_token=self._begin_token,
            end_tokens=self._end_tokens,
            allowed=self.allowed,
        )

    def generate(
        self,
        model: PreTrainedModel,
        inputs: Tensor,
        generation_config: GenerationConfig | None = None,
        **settings: Any,
    ) -> Any:
        """Return ``model.generate(inputs, …)`` with this processor, after :meth:`check_generation`.

        Args:
            model: the language model.
            inputs: ``[B, T]``, the prompts.
            generation_config: see ``generate()``.
            settings: see ``generate()``. A ``logits_processor`` runs before this one.

        Raises:
            ValueError: see :meth:`check_generation`.
        """
        self.check_generation(model, generation_config, **settings)
        processors = [*(settings.pop("logits_processor", None) or ()), self]
        generate: Any = model.generate  # Typed as an attribute of any torch module.
        return generate(
            inputs, generation_config=generation_config, logits_processor=processors, **settings
        )

    def check_generation(
        self,
        model: PreTrainedModel,
        generation_config: GenerationConfig | None = None,
        **settings: Any,
    ) -> None:
        """Refuse a ``top_k`` or ``top_p`` that may leave fewer tokens than beams.

        Without enough tokens, beam sampling continues from forbidden tokens, and returns items that
        do not exist. Both settings apply only with ``do_sample``. They keep at least one token more
        than there are end-of-sequence tokens.

        Args:
            model: the language model, whose ``generation_config`` gives missing settings.
            generation_config: see ``generate()``.
            settings: see ``generate()``; they override ``generation_config``.

        Raises:
            ValueError: ``top_k`` is below ``num_beams``, or ``top_p`` is below 1 and does not
                ensure ``num_beams`` tokens.
        """
        values = dict(_DEFAULTS)
        configs = (model.generation_config, generation_config)
        for source in (*(getattr(config, "__dict__", {}) for config in configs), settings):
            values |= {name: source[name] for name in _DEFAULTS if source.get(name) is not None}
        beams, top_k, top_p = values["num_beams"], values["top_k"], values["top_p"]
        ends = values["eos_token_id"]
        minimum = 2 if ends is None or isinstance(ends, int) else len(ends) + 1
        if not values["do_sample"] or beams <= minimum:
            return
        if 0 < top_k < beams:
            raise ValueError(
                f"SidTrieLogitsProcessor: top_k must be 0 or at least num_beams = {beams}, got "
                f"{top_k}"
            )
        if top_p < 1:
            raise ValueError(
                f"SidTrieLogitsProcessor: top_p must be 1 with num_beams = {beams}, got {top_p}, "
                f"which may leave only {minimum} tokens"
            )
