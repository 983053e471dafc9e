"""Listening tests: what ratings of people say about systems. Pure functions of arrays; nothing here reads a file.

Ratings are made into paired comparisons within a listener and an item (`recode`), these into values on a scale by the
cumulative-logit model (`cumulative`, with `adjacent` as a check), these into just meaningful differences with intervals
over listeners and items (`differences`). `opinion` has the mean opinion scores.
"""
