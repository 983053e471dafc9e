"""`v2a train-adapter`: sounds to what makes a bundle's frozen generator follow a curve.

First the frozen models hear the sounds, as a streaming job whose rows are kept in `sounds/` of the output; then the
adapter is trained on these rows.
"""
