import torch

from crosslens.default.training.objective import margins, ranking


SCORES = torch.tensor([0.3, -1.2, 2.0, 0.1])
TARGETS = torch.tensor([1.0, 0.0, -0.5, 3.0])


def test_scores_that_differ_from_the_targets_by_a_constant_cost_nothing():
    for loss in (ranking, margins):
        torch.testing.assert_close(
            loss(TARGETS + 7.0, TARGETS), torch.tensor(0.0), atol=1e-5, rtol=0
        )
        assert loss(SCORES, TARGETS) > 0.1


def test_margins_is_half_the_mean_squared_error_of_all_differences():
    error = (SCORES[:, None] - SCORES) - (TARGETS[:, None] - TARGETS)
    torch.testing.assert_close(margins(SCORES, TARGETS), error.square().mean() / 2)


def test_ranking_cares_for_the_top_and_margins_do_not():
    targets = torch.tensor([5.0, 0.0, -5.0])
    top, bottom = torch.tensor([-1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, -1.0])
    assert ranking(targets + top, targets) > 50 * ranking(targets + bottom, targets)
    torch.testing.assert_close(margins(targets + top, targets), margins(targets + bottom, targets))
