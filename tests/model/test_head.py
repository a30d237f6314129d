"""Which logits make the score."""

import pytest
import torch

from crosslens.model.head import Relevance, relevance


LOGITS = torch.tensor([[1.0, 4.0, 9.0], [2.0, 3.0, 5.0]])


def test_one_label_is_the_logit():
    assert relevance(1, {0: "LABEL_0"}, None)(LOGITS[:, :1]).tolist() == [1, 2]


def test_two_labels_are_the_log_odds_of_the_second():
    rule = relevance(2, {0: "LABEL_0", 1: "LABEL_1"}, None)
    odds = LOGITS[:, :2].softmax(dim=1)
    torch.testing.assert_close(rule(LOGITS[:, :2]), (odds[:, 1] / odds[:, 0]).log())
    assert rule == relevance(2, None, None)


@pytest.mark.parametrize(
    "names, relevant",
    [
        ({0: "relevant", 1: "irrelevant"}, 0),
        ({0: "non-relevant", 1: "Relevant"}, 1),
        ({0: "True", 1: "False"}, 0),
        ({0: "entailment", 1: "contradiction"}, 0),
        ({0: "yes", 1: "match"}, 1),  # two names claim it: the convention decides
        ({0: "no", 1: "nope"}, 1),
    ],
)
def test_the_names_of_labels_override_the_convention(names, relevant):
    assert relevance(2, names, None).relevant == relevant
    assert relevance(2, names, 1 - relevant).relevant == 1 - relevant  # and the caller the names


def test_more_labels_need_the_caller():
    with pytest.raises(ValueError, match="3 labels .*say which with load"):
        relevance(3, {0: "no", 1: "perhaps", 2: "relevant"}, None)
    assert relevance(3, None, 2)(LOGITS).tolist() == [9, 5]


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_label_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match=f"relevant={wrong}, but the model has labels 0 to 1"):
        relevance(2, None, wrong)


def test_a_rule_reads_as_what_it_does():
    assert str(Relevance(1, 0)) == "the logit"
    assert str(Relevance(2, 1)) == "logit[1] - logit[0]"
    assert str(Relevance(3, 2)) == "logit[2] of 3"
