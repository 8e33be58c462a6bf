"""UniRec: an autoregressive decoder that generates an item's attributes, then its semantic ID.

``p(item | history) = Π_t p(x_t | x_<t, history)`` along the item's path ``x = (a_1 … a_m, s_1 …
s_L)``: attributes from coarse to fine, then codes (chain of attributes). The paths of the catalogue
form a trie. Beam search follows it, so every result is an item.

:mod:`~.model` draws the network; ``history`` encodes events, ``decoder`` predicts tokens, and
``item_scores`` scores whole items.

Source: arXiv 2604.12234, §4 to §6. [I] marks details that the paper does not state.
"""

from recops_models.generative.unirec.config import Bos, UniRecConfig
from recops_models.generative.unirec.model import UniRec

__all__ = ["Bos", "UniRec", "UniRecConfig"]
