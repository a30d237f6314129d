"""The hooked transformer: its forward pass is the list of sites."""

from .replay import Replay as Replay
