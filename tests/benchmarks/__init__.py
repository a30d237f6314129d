"""Benchmarks: what the engine takes, beside the ways it replaces and the least it could take.

    python -m tests.benchmarks                          every benchmark
    python -m tests.benchmarks heads roles              some of them
    python -m tests.benchmarks --shape base --tokens 128 --pairs 8 --rounds 5 --json found.json

Each prints, for every arm, seconds per unit of work and the ratio to the engine. The arms of a
benchmark are run in turn, round after round, so that a slow minute hits all of them; numbers are
medians over rounds, ratios medians of the ratio within a round. Arms that would take hours run a
random part of their work, and seconds are per part.

    heads         exact patching of every layer x head
    positions     exact patching of the stream, every layer x position
    roles         the same by token role: five segments instead of every position
    knockout      hiding 4 x 4 segments from each other, layer by layer
    neurons       one neuron in a hundred silenced alone
    masks         query and document hidden from each other over the first layers
    states        features of all layers, against the bare pass
    conductance   all linear maps, against captum called once per module
    bottleneck    10 steps x 10 repetitions after a layer, against the whole model per step
    answers       how long a person waits for an explanation, and for an edit of the page
    causal        heads of a decoder, from the first edited token on, against whole pairs
    search        two stages against patching every head, and what they find
    embedded      the same in the embedded reranker, by three axioms with a seed for every round
    profile       where the time of a head sweep goes
    law           seconds of a head sweep against layers, heads, tokens and pairs
    processes     a patching run by two processes under torchrun, beside one (start it alone, and
                  with its 32 pairs: their parts are shared evenly; a third of --rounds)
    passages      a first stage over a million passages: memory, and time per query (--passages)
    memory        what a sweep holds, beside what it was foreseen to (--shape large --tokens 512)
    soak          whether a process grows over a long run (--pairs 2000)

Random weights in the shape of MiniLM (6 x 384) or of a base model (12 x 768) suffice: no arm's time
depends on them. Run them on an idle machine; `--threads` sets torch's. On a busy one,
`--threads 1 --processor` measures the processor's time instead of the clock's.
"""
