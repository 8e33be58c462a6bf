"""DIEN's auxiliary loss: does a state know the event that follows it?"""
