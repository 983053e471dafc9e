"""`v2a reproduce`: the paper by one command. It calls the jobs in order and does nothing that they cannot.

What the tables are, and what becomes of the numbers, belongs to `v2a_core.reproduction`.
"""
