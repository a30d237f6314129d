"""TransformerLens' activation cache, for a model that scores pairs.

Some of its methods take a decoder for granted: a stream that is normalised once at its end, an
unembedding, one name for what a block leaves. What they would return here is wrong or fails in
their middle, so they are refused, and the error names what to use.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn

import torch
from transformer_lens.ActivationCache import ActivationCache


STREAMS: Final = (
    "the streams are sites: `with model.record(*model.sites('resid_pre'), "
    "model.block_outputs()[-1]) as cache`, and cache.layers('resid_pre') stacks them"
)
DIRECT: Final = (
    "a reranker has no unembedding; see crosslens.direct_attribution, which carries what heads "
    "write through the model's own norms to the score"
)
NORMED: Final = (
    "the norms are LayerNorms inside the blocks, and each scales by the whole stream; apply "
    "model.blocks[layer].norm1 or .norm2 to a stream, or see crosslens.direct_attribution"
)
NEURONS: Final = (
    "what neurons write is cache['mlp_post', layer] times the columns of "
    "model.blocks[layer].mlp.w_out.weight; see crosslens.conductance for their share of the score"
)
NO_SSM: Final = "this model has attention in every block and no state space; see model.sites()"


def refused(name: str, instead: str) -> Callable[..., NoReturn]:
    """A method that raises and says what to use.

    Raises:
        NotImplementedError: always.
    """

    def method(self: ActivationCache, *args: Any, **options: Any) -> NoReturn:
        raise NotImplementedError(f"{name} does not apply to a cross-encoder: {instead}")

    method.__name__ = name
    method.__doc__ = f"Refused: {instead}."
    return method


class PairCache(ActivationCache):
    """What one pass over some pairs left at the hook points: `cache["z", 3]`."""

    accumulated_resid = refused("accumulated_resid", STREAMS)
    decompose_resid = refused("decompose_resid", STREAMS)
    get_full_resid_decomposition = refused("get_full_resid_decomposition", STREAMS)
    logit_lens = refused("logit_lens", DIRECT)
    logit_attrs = refused("logit_attrs", DIRECT)
    apply_ln_to_stack = refused("apply_ln_to_stack", NORMED)
    get_neuron_results = refused("get_neuron_results", NEURONS)
    stack_neuron_results = refused("stack_neuron_results", NEURONS)
    ssm_layers = refused("ssm_layers", NO_SSM)
    compute_ssm_effective_attention = refused("compute_ssm_effective_attention", NO_SSM)
    compute_ssm_state = refused("compute_ssm_state", NO_SSM)

    def stack_head_results(
        self,
        layer: int | None = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Any = None,
        apply_ln: bool = False,
    ) -> Any:
        """What every head of the layers before `layer` writes: component pair pos d_model.

        Raises:
            NotImplementedError: a remainder or a norm is wanted, which mean another stream here.
        """
        if incl_remainder:
            self.decompose_resid()
        if apply_ln:
            self.apply_ln_to_stack(torch.empty(0))
        return super().stack_head_results(
            -1 if layer is None else layer, return_labels, pos_slice=pos_slice
        )

    def apply_slice_to_batch_dim(self, batch_slice: Any) -> "PairCache":
        """The cache of some of the pairs."""
        some = super().apply_slice_to_batch_dim(batch_slice)
        return PairCache(some.cache_dict, self.model, some.has_batch_dim)
