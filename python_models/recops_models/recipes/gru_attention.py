"""Recipe of ``gru-attention``."""

from __future__ import annotations

from recops_models.click.gru_attention import GruAttention, GruAttentionConfig
from recops_models.recipes.click import DROPOUT, ClickRecipe

recipe = ClickRecipe("gru-attention", GruAttention, GruAttentionConfig(dropout=DROPOUT))
