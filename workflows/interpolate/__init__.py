"""`v2a interpolate`: sounds on the way between two things.

Only the command; the work lies in `v2a_core.interpolation`.
"""
