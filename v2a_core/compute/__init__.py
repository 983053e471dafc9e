"""How work gets onto processors: threads, processes, precision, micro-batches, seeds, memory that does not suffice.

Nothing here knows what is computed. A model belongs to its kind's room, and what only CPUs need to `cpu`.
"""
