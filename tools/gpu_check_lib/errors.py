"""Problem: what a person can put right, in one sentence."""


class Problem(Exception):
    pass
