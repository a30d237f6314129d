"""Here a decoder is one of the families."""

import pytest
from tiny import AND_DECODER


@pytest.fixture(params=AND_DECODER)
def family(request: pytest.FixtureRequest) -> str:
    return request.param
