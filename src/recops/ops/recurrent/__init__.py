"""Gated recurrent scans over sequences of users: GRU, AGRU and AUGRU.

A recurrent network reads a user's behaviours in order and updates a state. In AGRU and AUGRU, the
interest evolving layer of DIEN, target attention scales how much each behaviour changes the state.
"""
