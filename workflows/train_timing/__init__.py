"""`v2a train-timing`: embeddings with denser frames and what was heard beside them to a curve predictor."""
