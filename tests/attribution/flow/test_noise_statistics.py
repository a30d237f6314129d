"""The three readings of the bottleneck's noise."""

import pytest
import torch

from crosslens import CrossEncoder, Pairs
from crosslens.attribution.flow.bottleneck import bottleneck, Noise
from crosslens.attribution.flow.noise_statistics import noise_statistics


@pytest.fixture
def streams(model: CrossEncoder, pairs: Pairs) -> list[torch.Tensor]:
    sites = model.sites(model.cfg.block_output)
    with torch.no_grad(), model.record(*sites) as cache:
        model(pairs)
    return [cache[site] for site in sites]


def test_a_dataset_is_all_tokens_of_all_pairs(
    model: CrossEncoder, pairs: Pairs, streams: list[torch.Tensor]
) -> None:
    found = noise_statistics(model, pairs)
    for noise, stream in zip(found, streams, strict=True):
        whole = Noise.of(stream, pairs)
        assert torch.allclose(noise.mean, whole.mean, atol=1e-6)
        assert torch.allclose(noise.std, whole.std, atol=1e-6)


def test_a_reference_set_stands_for_the_pairs(model: CrossEncoder, pairs: Pairs) -> None:
    reference = model.pair("the river", "a dog and a snake")
    own, other = (noise_statistics(model, pairs, reference=r)[0] for r in (None, reference))
    assert not torch.allclose(own.mean, other.mean, atol=1e-4)
    assert torch.allclose(other.mean, noise_statistics(model, reference)[0].mean)


def test_each_example_has_its_own_noise(
    model: CrossEncoder, pairs: Pairs, streams: list[torch.Tensor]
) -> None:
    found = noise_statistics(model, pairs, "example")[1]
    for i, length in enumerate(pairs.lengths.tolist()):
        tokens = streams[1][i, :length]
        assert torch.allclose(found.mean[i, 0], tokens.mean(dim=0), atol=1e-6)
        assert torch.allclose(found.std[i, 0], tokens.std(dim=0), atol=1e-6)


def test_the_reference_code_gives_way_to_what_the_block_read(
    model: CrossEncoder, pairs: Pairs, streams: list[torch.Tensor]
) -> None:
    """Off by one layer: the mean is the input of the block whose output is squeezed."""
    found = noise_statistics(model, pairs, "reference code")
    assert torch.equal(found[1].mean, streams[0])
    assert found[1].std.shape == (1, 1, model.cfg.d_model)
    assert torch.allclose(found[1].std, torch.full_like(found[1].std, 0.0031623), atol=1e-6)
    passed = bottleneck(model, pairs, found, layers=[1], beta=1e-5, steps=2, repeats=2)
    assert passed.nats[:, pairs.attended].gt(0).all()


def test_other_statistics_are_refused(model: CrossEncoder, pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="one of .*dataset.*, not 'median'"):
        noise_statistics(model, pairs, "median")
