"""Listening tests: people rate what systems made, and what their ratings say about the systems.

In this folder itself lie the statistics, pure functions of arrays. Ratings are made into paired comparisons within a
listener and an item (`recode`), these into values on a scale by the cumulative-logit model (`cumulative`, with
`adjacent` as a check), these into just meaningful differences with intervals over listeners and items (`differences`).
`opinion` has the mean opinion scores, `pairs` how often one of two systems was preferred. `questions` and `key` are
what the page that people open and the reading of their answers have in common: the page is made in `making`, answers
are read and counted in `scoring`.
"""
