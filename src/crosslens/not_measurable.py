"""What these texts or this model do not allow to measure: raised on purpose, by one class."""


class NotMeasurable(ValueError):
    """There is nothing here to measure, and the message says why and what would change that.

    Too few pairs, a contrast that no pair has, a collection in which BM25 matches nothing, a
    model without the part that is asked about. Whoever gathers measurements (a report, the
    test of a claim) may catch it and say so in the place of the figure; any other error is a
    fault and is never caught for control flow. It is a ValueError, so that callers who asked
    for the impossible meet what they expect.
    """
