from functools import partial

import torch

from crosslens import head, Site
from crosslens.hooks import served


def test_one_stream_for_all_readers_is_the_pass_itself(any_model) -> None:
    any_model.double()
    same = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
    pairs = any_model.pair("why do cats purr", "cats purr", "the dog , a snake and a car")
    with torch.no_grad(), any_model.record(*any_model.sites()) as cache:
        score = any_model(pairs)
        steps, every = any_model.replay(pairs), list(range(any_model.cfg.n_heads))
        one = torch.zeros(len(every), dtype=torch.long)
        stream = cache[Site("full_embed")]
        for layer in range(any_model.cfg.n_layers):
            read = {name: steps.read(layer, name, every, stream[None], one) for name in "qkv"}
            for name, found in read.items():
                same(found, served(cache[Site(name, layer)], len(every)))
            z = steps.attend(layer, every, **read)
            same(z, cache[Site("z", layer)])
            for i, written in enumerate(steps.writes(layer, every, z)):
                same(written, cache[head(layer, i, "result")])
            stream = steps.after_attention(layer, stream + cache[Site("attn_out", layer)])
            written = steps.mlp(layer, stream)
            same(written, cache[Site("mlp_out", layer)])
            stream = steps.after_mlp(layer, stream + written)
        same(steps.score(stream), score)


def test_some_heads_read_streams_of_their_own(any_model) -> None:
    pairs = any_model.double().pair("why do cats purr", "cats purr", "the dog , a snake and a car")
    with torch.no_grad(), any_model.record("q", "k", "v", "z", "resid_pre") as cache:
        any_model(pairs)
        steps, stream = any_model.replay(pairs), cache[Site("resid_pre", 1)]
        streams = torch.stack([stream.flip(0), stream])
        own = steps.read(1, "q", [3, 0, 1], streams, torch.tensor([1, 0, 1]))
        for place, i in ((0, 3), (2, 1)):
            torch.testing.assert_close(own[:, :, place], cache[head(1, i, "q")])
        torch.testing.assert_close(own[:, :, 1], cache[head(1, 0, "q")].flip(0))
        some = steps.attend(1, [2, 0], *(cache[Site(name, 1)] for name in "qkv"))
        torch.testing.assert_close(some, cache[Site("z", 1)][:, :, [2, 0]])
