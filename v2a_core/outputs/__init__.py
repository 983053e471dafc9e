"""What an output is made of: manifest, parts of Parquet, names of files, the ledger of what is done, what waits.

Here belongs what makes an output whole and a run able to go on. The columns are described in `tables`, and what a job
writes into them comes from `stages`.
"""
