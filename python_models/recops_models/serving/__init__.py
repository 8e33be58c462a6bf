"""The User Interest Center: users' states in a store, moved by events, read by requests.

The serving side of MIMN and HPMN (Pi et al., Practice on Long Sequential User Behavior Modeling for
Click-Through Rate Prediction, KDD 2019, section 4): what a user did is written once, when it
happens; a request reads a state of fixed size.
"""
