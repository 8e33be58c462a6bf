"""Gated recurrent scans over sequences of users: GRU, AGRU and AUGRU.

A recurrent network reads a user's behaviours in their order and keeps a state. Target attention
lets the candidate item decide how much each behaviour may change it: AGRU and AUGRU, the interest
evolving layer of DIEN.
"""
