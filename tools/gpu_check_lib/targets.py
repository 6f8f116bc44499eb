"""What is asked of a GPU, in one place. Numbers without a target are only reported."""
import operator

COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}

TARGETS = {
    "eval.strict.distance": ("<=", 3.0),  # correct answers away from 9173, which PyTorch counts for this checkpoint
    "unlearn.share": ("<=", 0.01),  # as in tests/device_network_test.cpp, for the same optimizer
    "attack.hits.distance": ("<=", 1.0),  # percentage points
    "pgd100.strict": ("<=", 40.0),
    "pgd.strict.graph": (">=", 3.0),
    "pgd.tf32.graph": (">=", 3.0),
    "pgd.bf16.graph": (">=", 3.0),
    "train.bf16.eager": (">", 1.0),
    "lab.elementwise": (">=", 0.90),
    "lab.pgd_step": (">=", 0.85),
    "lab.softmax_cross_entropy": (">=", 0.85),
    "lab.batchnorm": (">=", 0.80),
}


def met(key, value):
    """True or False, or None where there is no target."""
    if key not in TARGETS:
        return None
    word, bound = TARGETS[key]
    return COMPARE[word](value, bound)
