"""What can be read off the states of tokens: features of all layers, probes, and their controls."""

from .early_exit import early_scores
from .features import Features as Features, features
from .held_out import control_labels, held_out, HeldOut as HeldOut
from .max_probe import max_probe, Training as Training
from .token_groups import draw, frequent_pieces, is_period, token_groups, with_periods


__all__ = [
    "control_labels",
    "draw",
    "early_scores",
    "features",
    "frequent_pieces",
    "held_out",
    "is_period",
    "max_probe",
    "token_groups",
    "with_periods",
]
