"""Constrained beam search: decoding in tries, one or several, with masks and bans."""
