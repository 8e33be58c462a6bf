"""The User Interest Center: user states in a store, updated by events and read by requests.

This is the serving side of MIMN and HPMN (Pi et al., Practice on Long Sequential User Behavior
Modeling for Click-Through Rate Prediction, KDD 2019, section 4). An event is written into its
user's state once, when it happens. A request reads a state of fixed size.
"""
