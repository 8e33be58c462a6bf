"""UniRec: an autoregressive decoder from a history to an item, attributes first, then its SID.

``p(item | history) = Π_t p(x_t | x_<t, history)`` along the item's path ``x = (a_1 … a_m, s_1 …
s_L)``, attributes coarse to fine and then codes (chain of attribute). The paths of the catalogue
form a trie, and beam search walks it, so that whatever is decoded is an item.

Data flows one way: ``history`` reads events into a memory, ``start`` says what is asked for,
``prefix`` tells of the tokens already decoded, ``decoder`` crosses them with the memory, and a rank
head a step gives logits; ``model`` puts them together.

Source: arXiv 2604.12234, §4 to §6. [I] marks what is inferred or added here.
"""

from recops_models.generative.unirec.config import Bos, UniRecConfig
from recops_models.generative.unirec.model import UniRec

__all__ = ["Bos", "UniRec", "UniRecConfig"]
