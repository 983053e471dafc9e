"""The tables that jobs hand to each other: their columns, rows and vectors in Arrow, the newest of several versions.

Every column has its type, unit and meaning here, in `schema`. Which files hold the tables is a matter of `outputs`.
"""
