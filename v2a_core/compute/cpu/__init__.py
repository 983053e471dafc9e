"""What makes models faster on CPUs: each a rewriting of a network that gives the same numbers.

Every one compares itself with the plain network and stands back when it differs. What a GPU needs does not belong here.
"""
