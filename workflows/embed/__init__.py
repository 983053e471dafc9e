"""`v2a embed`: a catalog to embeddings in Parquet, a row a segment.

Its settings, its chain of stages and its rows; what the streaming jobs share lies in `workflows.streaming`, what a step
does to rows in `v2a_core.stages`.
"""
