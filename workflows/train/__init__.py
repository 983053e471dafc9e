"""`v2a train`: embeddings to a mapper, on one worker or many, once or for each configuration of a sweep.

Starting workers, following them and exporting what they made; how a mapper learns lies in `v2a_core.training`.
"""
