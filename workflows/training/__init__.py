"""The one frame of trainings on Ray Train: workers, checkpoints, what is shown meanwhile, going on after a kill.

A job that trains says what is learned from, what is trained and what is exported; the rest is here, the same for all.
"""
