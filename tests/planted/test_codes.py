"""Identity codes tell tokens apart."""

import pytest
import torch

from crosslens.planted.codes import CLOSEST, codes, MOST_CODES, N_CODE


def test_no_two_codes_are_alike():
    drawn = codes(3000, torch.Generator().manual_seed(0))
    cosines = drawn @ drawn.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(3000))
    cosines.fill_diagonal_(-1)
    assert cosines.max() <= CLOSEST + 1e-6 == 0.5 + 1e-6
    random = torch.nn.functional.normalize(torch.randn(3000, N_CODE), dim=1)
    assert (random @ random.T).fill_diagonal_(-1).max() > 0.6  # what the code is for


def test_more_tokens_than_codes():
    with pytest.raises(ValueError, match="65,537 tokens need a code each"):
        codes(MOST_CODES + 1, torch.Generator())
