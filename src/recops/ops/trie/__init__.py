"""Constrained beam search: decoding in one or several tries, with masks and bans."""
