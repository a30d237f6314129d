"""The hooked cross-encoder: scores pairs, and lets hooks watch or edit every step."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, ExitStack
from dataclasses import replace
from threading import get_ident
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import nn, Tensor
from transformer_lens.hook_points import HookPoint, LensHandle
from transformer_lens.HookedRootModule import HookedRootModule

from ..batching.batches import by_length, require_one
from ..hooks import Cache, HeadWeights, Hook, PartWrites, Tap
from ..pairs import Pairs, require_rows
from ..sites import COMPUTED, KINDS, near, Site, STREAM, Unit
from .activation_cache import PairCache
from .attention import Attention, Context, quiet
from .block import Block, GatedMLP
from .config import Config
from .families.decoder import CausalContext
from .families.parts import Parts
from .head import Relevance
from .replay import Replay
from .tokens import PairTokenizer, texts_of


class CrossEncoder(HookedRootModule):
    """A query and a document read together, to one relevance score.

    A TransformerLens `HookedRootModule`: `run_with_cache`, `run_with_hooks` and `hooks` work
    as its users know them, with `HookedEncoder`'s names. `hooked` and `record` are the
    readable layer above, in units and sites.
    """

    def __init__(
        self,
        cfg: Config,
        parts: Parts,
        relevance: Relevance,
        tokens: PairTokenizer,
        activation: nn.Module,
    ):
        super().__init__()
        self._cfg = cfg
        self.embedding, self.head = parts.embedding, parts.head
        self.blocks = nn.ModuleList(parts.blocks)
        self.context, self.final_norm = parts.context, parts.final_norm
        self.relevance = relevance
        self.tokens = tokens
        self.activation = activation  # what the checkpoint declares to follow the score
        if parts.final_norm is not None:
            self.hook_final_norm = HookPoint()
        if parts.head.reads_scored_row:
            between = () if parts.final_norm is None else (self.hook_final_norm,)
            parts.blocks[-1].before_scored_row = between
        # By thread: how many passes were run (a hook that missed them all is an error), and the
        # pairs of the pass that runs now.
        self.forwards = Counter[int]()
        self.current: dict[int, Pairs | None] = {}
        self.setup()
        self.eval()

    def setup(self) -> None:
        """Name the hook points, and only them: adopted modules stay as they were."""
        self.mod_dict, self.hook_dict = dict(self.named_modules()), {}
        del self.mod_dict[""]
        for name, module in self.mod_dict.items():
            if isinstance(module, HookPoint):
                module.name = re.sub(r"^(embedding|head(?=\.decoder))\.", "", name)
                self.hook_dict[module.name] = module
        self.mod_dict |= self.hook_dict
        self.points = {Site.of(name): point for name, point in self.hook_dict.items()}

    @property
    def cfg(self) -> Config:
        """The shape of the model, and where its weights are now."""
        return replace(self._cfg, device=self.device)

    # --- scoring -----------------------------------------------------------------------

    def forward(self, pairs: Any) -> Float[Tensor, " pair"]:
        """The relevance score of each of `Pairs`: a logit or a difference of two, no sigmoid.

        In float32 where weights are of 16 bit, in the precision of the weights elsewhere.

        Raises:
            TypeError: a text, or token ids, in place of pairs.
            ValueError: the pairs are on another device than the weights.
        """
        if not isinstance(pairs, Pairs):
            raise TypeError(
                f"a {type(pairs).__name__} is no pairs: give model.pair(query, document), or "
                "model.pairs(queries, documents)"
            )
        with self._running(pairs):
            return self._from(0, {"resid_pre": self.embedding(pairs)}, pairs)

    def suffix(
        self,
        pairs: Pairs,
        start: int,
        given: Float[Tensor, "pair ..."] | Mapping[str, Tensor],
        earlier: Sequence[Mapping[str, Tensor]] = (),
    ) -> Float[Tensor, " pair"]:
        """The scores when what is `given` of block `start` is computed already.

        A tensor is the stream that the block reads, or the head where `start` is the number of
        blocks: its scored row is then enough, if the model `reads_scored_row`. A mapping holds
        sites of the block by name, as in `Block.resume`: the pass then begins at the last of them,
        at its hook point.

        In a causal model the first tokens of all pairs may be left out of what is given (but for
        `k` and `v`) and of what is computed: `earlier` then holds their `k` and `v`, block by
        block from `start` on.
        """
        with self._running(pairs):
            if isinstance(given, Tensor):
                given = {"resid_pre": given}
            return self._from(start, given, pairs, earlier)

    def relay(
        self,
        start: int,
        stop: int,
        given: Mapping[str, Tensor],
        held: Mapping[int, Mapping[str, Tensor]],
    ) -> Float[Tensor, "pair pos d_model"]:
        """The stream that block `stop` reads when every block from `start` writes what is `held`.

        `held` gives each layer's `attn_out`, and its `mlp_out` if that is held too. Nothing then
        mixes positions: any tokens of any pairs may be the rows. Block `start` is `given` as in
        `Block.resume`; where `start` is -1, what each embedding table gave. `stop` may be the
        number of blocks. What heads would read (`q`, `k`, `v`) passes its hook points on the
        way, up to those of block `stop`, while somebody watches.
        """
        with self._running(None):
            if start < 0:
                given, start = {"resid_pre": self.embedding.add(given)}, 0
            for layer in range(start, stop):
                block, written = self._block(layer), held[layer]
                if given.keys() == {"resid_pre"}:
                    block.show_reads(given["resid_pre"])
                    given = {**given, "attn_out": written["attn_out"]}
                given = {"resid_pre": block.resume(given, {}, written.get("mlp_out"))}
            if stop < self.cfg.n_layers:
                self._block(stop).show_reads(given["resid_pre"])
            return given["resid_pre"]

    def _from(
        self,
        start: int,
        given: Mapping[str, Tensor],
        pairs: Pairs,
        earlier: Sequence[Mapping[str, Tensor]] = (),
    ) -> Tensor:
        resid = next(value for name, value in given.items() if KINDS[name].axes == STREAM)
        if start < self.cfg.n_layers:
            context = self._context(pairs, resid)
            if earlier:
                context = {**context, "first": torch.tensor(earlier[0]["k"].shape[1])}
            behind = [{**context, "earlier k": e["k"], "earlier v": e["v"]} for e in earlier]
            contexts = behind or [context] * (self.cfg.n_layers - start)
            # attention that is given its keys and values is given those of all tokens
            has_keys = "v" in given
            resid = self._block(start).resume(given, context if has_keys else contexts[0])
            for layer in range(start + 1, self.cfg.n_layers):
                resid = self._block(layer)(resid, contexts[layer - start])
        if self.final_norm is not None:
            resid = self.hook_final_norm(self.final_norm(resid))
        return self.relevance(self.head(resid, pairs.attended, pairs.scored))

    def replay(self, pairs: Pairs) -> Replay:
        """A pass over `pairs` in pieces, for whoever gives every reader its own stream."""
        refuse_autocast(self.device.type)
        require_beside(pairs, self.device)
        if self.reads_scored_row:
            require_rows(pairs.scored)
        blocks = [self._block(layer) for layer in range(self.cfg.n_layers)]
        context = self._context(pairs, self.embedding(pairs))
        return Replay(blocks, self.final_norm, self.head, self.relevance, context, pairs)

    def _context(self, pairs: Pairs, resid: Tensor) -> Context:
        """What blocks need besides the stream: the family's tables, and the scored row."""
        return {**self.context(pairs, resid), "scored": pairs.scored}

    @contextmanager
    def _running(self, pairs: Pairs | None) -> Iterator[None]:
        """Let hooks know whose activations they see; of no pairs, where tokens run apart.

        Raises:
            RuntimeError: under `torch.autocast`, which would change scores and say nothing.
            ValueError: the pairs are on another device than the weights.
            NotMeasurable: these are pairs of a model whose score is read from no row.
        """
        refuse_autocast(self.device.type)
        if pairs is not None:
            require_beside(pairs, self.device)
            if self.reads_scored_row:
                require_rows(pairs.scored)
        thread = get_ident()
        before = self.current.get(thread)
        self.current[thread] = pairs
        self.forwards[thread] += 1
        try:
            yield
        except RuntimeError as error:
            if "mutated during iteration" not in str(error):
                raise
            raise RuntimeError(
                "another thread attached or removed hooks while this pass ran: run it again, or "
                "give each thread a model of its own (copy.deepcopy(model))"
            ) from error
        finally:
            if before is None:
                self.current.pop(thread, None)
            else:
                self.current[thread] = before

    def _block(self, layer: int) -> Block:
        """What a ModuleList would call a Module."""
        block = self.blocks[layer]
        assert isinstance(block, Block)
        return block

    @property
    def reads_scored_row(self) -> bool:
        """Whether the score reads the scored row of the last stream alone, not a mean of tokens."""
        return self.head.reads_scored_row

    @property
    def is_causal(self) -> bool:
        """Whether tokens read those before them alone."""
        return isinstance(self.context, CausalContext)

    @property
    def adds_by_head(self) -> bool:
        """Whether what attention adds to the stream is the sum of what its heads write."""
        return self._block(0).attn.adds_by_head

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where pairs are put."""
        return self.embedding.words.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What weights and activations are numbers of."""
        return self.embedding.words.weight.dtype

    @property
    def sizes(self) -> Mapping[str, int]:
        """How long the axes of its sites are that no pair changes.

        The head axis of `k` and `v` is as long as `kv_head` says.
        """
        c = self._cfg
        return {
            "d_model": c.d_model,
            "head": c.n_heads,
            "kv_head": c.n_key_value_heads or c.n_heads,
            "d_head": c.d_head,
            "neuron": c.d_mlp,
            "step": 1,
        }

    @property
    def pad_token_id(self) -> int:
        """The padding token of the model's own tokenizer; a ValueError where it has none."""
        return self.tokens.pad_token_id

    @property
    def is_hooked(self) -> bool:
        """Whether any hook is attached now, by whichever thread."""
        return not quiet(*self.points.values())

    @property
    def W_E(self) -> Float[Tensor, "token d_embed"]:
        """The word embeddings: what `embed` looks up (ELECTRA's are narrower than d_model).

        Gemma's are larger than its weights: it multiplies them by a factor.
        """
        words = self.embedding.words
        factor = getattr(words, "embed_scale", None)
        return words.weight if factor is None else words.weight * factor.to(words.weight)

    def weights(self, head: Unit) -> HeadWeights:
        """The matrices of one attention head, the model's own: `model.weights(head(3, 7))`.

        Raises:
            ValueError: the unit is no attention head.
            LookupError: the head is outside the model.
        """
        at = dict(head.coordinates)
        if head.site.layer is None or not isinstance(index := at.get("head"), int):
            raise ValueError(f"{head} is no attention head, as head(3, 7) is")
        self.point(head.site)  # says which layers there are
        a = self._attention(head.site)
        if not -a.n_heads <= index < a.n_heads:
            raise LookupError(f"{head} is outside the model: head has {a.n_heads}")
        index %= a.n_heads
        shared = index * a.n_kv_heads // a.n_heads  # whose keys and values it reads
        no_bias = a.q.weight.new_zeros(len(a.q.weight))
        bias = rearrange(
            no_bias if a.q.bias is None else a.q.bias, "(head d) -> head d", head=a.n_heads
        )
        return HeadWeights(
            a.W_Q[index], a.W_K[shared], a.W_V[shared], a.W_O[index], bias[index], a.is_linear
        )

    def part_writes(self, site: Site) -> PartWrites | None:
        """How the heads of `z`, or the neurons of `mlp_pre` and `mlp_post`, write to the stream.

        None for any other site, and where heads or neurons do not write each by itself: a norm
        stands behind the sum, or a gate beside `mlp_pre`.
        """
        if site.name == "z" and self.adds_by_head:
            attn = self._attention(site)
            return PartWrites(nn.Identity(), attn.W_O) if is_plain(attn.out) else None
        if site.name in ("mlp_pre", "mlp_post") and site.layer is not None:
            mlp = self._block(site.layer).mlp
            is_gated = isinstance(mlp, GatedMLP)
            if is_plain(mlp.w_out) and not (is_gated and site.name == "mlp_pre"):
                act = mlp.act if site.name == "mlp_pre" else nn.Identity()
                return PartWrites(act, mlp.w_out.weight.T)
        return None

    def _attention(self, site: Site) -> Attention:
        """The attention that a site of one layer is of: a block's, or one of a decoder step's."""
        assert site.layer is not None
        if not site.is_of_decoder:
            return self._block(site.layer).attn
        step: Any = self.head.get_submodule(f"decoder.{site.layer}")
        return step.cross_attn if site.name.startswith("cross_") else step.attn

    # --- pairs -------------------------------------------------------------------------

    def pair(self, query: str, *documents: str) -> Pairs:
        """One query, paired with each of the documents."""
        return self.pairs([query] * len(documents), documents)

    def pairs(self, queries: Iterable[str], documents: Iterable[str]) -> Pairs:
        """Each query with the document beside it: lists, or the columns of a data frame."""
        return self.tokens(queries, documents).to(self.device)

    @torch.no_grad()
    def score(
        self, query: str, documents: Iterable[str], *, batch: int = 32
    ) -> Float[Tensor, " document"]:
        """The scores of many documents: batches of like length, in the order given.

        `batch` is how many pairs run together at most. Where memory runs out, batches are halved,
        down to one pair, and a line in the log says so.

        Raises:
            ValueError: `batch` is below 1.
            DoesNotFit: there is no memory for one pair.
        """
        require_one(batch, "batch")
        several = texts_of("document", documents)
        pairs = self.pairs([query] * len(several), several)
        scores = torch.empty(len(pairs), dtype=torch.promote_types(self.dtype, torch.float32))
        for rows, found in by_length(lambda rows: self(pairs.take(rows)), pairs, batch):
            scores[rows] = found.cpu()
        return scores

    @torch.no_grad()
    def activated(self, scores: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """What the activation that the checkpoint declares makes of scores: of one label each."""
        return self.activation(scores[:, None])[:, 0]

    # --- sites, hooks and caches ---------------------------------------------------------

    def sites(self, name: str | None = None) -> list[Site]:
        """Every site called `name`, or every site, in the order of the forward pass.

        Raises:
            LookupError: no site has that name, or this family lacks it; names those it has.
        """
        if name is not None and name not in KINDS:
            raise LookupError(f"no site is called {name!r}; {near(name, KINDS)}")
        found = [site for site in self.points if name in (None, site.name)]
        if not found:
            known = sorted({site.name for site in self.points}, key=list(KINDS).index)
            raise LookupError(f"{self.cfg.family} has no {name!r}; its sites are {known}")
        return sorted(found, key=lambda site: site.depth)

    def block_outputs(self) -> list[Site]:
        """The output of every block: the input of the next, and what the last one leaves."""
        return self.sites(self.cfg.block_output)

    def heads(self, site: str = "z") -> list[Unit]:
        """Every attention head, layer by layer; of `k` and `v` those that queries share."""
        n = self.sizes["kv_head" if site in ("k", "v") else "head"]
        return [s.at(head=i) for s in self.sites(site) for i in range(n)]

    @contextmanager
    def hooked(self, *hooks: Hook) -> Iterator[None]:
        """Attach `hooks` for the length of the block, in the order given."""

        def tap(hook: Hook) -> Tap:
            return lambda activation: hook(activation, self._current())

        with self.tapped([(hook.unit.site, tap(hook)) for hook in hooks]):
            yield

    @contextmanager
    def record(self, *names: str | Site) -> Iterator[Cache]:
        """Keep what passes these sites, or every site with one of these names."""
        cache = Cache()

        def tap(site: Site) -> Tap:
            return lambda activation: cache.keep(site, activation)

        listed = [[name] if isinstance(name, Site) else self.sites(name) for name in names]
        with self.tapped([(site, tap(site)) for sites in listed for site in sites]):
            yield cache

    @contextmanager
    def tapped(self, taps: Iterable[tuple[Site, Tap]]) -> Iterator[None]:
        """Run a function on what passes each site; one that returns a tensor replaces it.

        A tap that saw none of the forward passes made meanwhile is an error.
        """
        with self._expecting() as missing, ExitStack() as stack:
            for number, (site, tap) in enumerate(taps):
                missing[number] = str(site)

                def hook(activation: Tensor, hook: HookPoint, n=number, f=tap) -> Tensor | None:
                    missing.pop(n, None)
                    return f(activation)

                stack.enter_context(attached(self.point(site), own_passes(hook)))
            yield

    @contextmanager
    def _expecting(self) -> Iterator[dict[int, str]]:
        """Entries that are not taken out while the model runs belong to hooks that missed it.

        That is an error: a silent intervention looks like a finding.
        """
        thread = get_ident()
        before = self.forwards[thread]
        missing: dict[int, str] = {}
        yield missing
        if missing and self.forwards[thread] > before:
            raise RuntimeError(
                f"the model ran, but never passed {', '.join(missing.values())}: a run from a "
                "later block cannot reach an earlier site"
            )

    @contextmanager
    def scored_row_only(self) -> Iterator[None]:
        """Let the last block compute the scored row alone, even while hooks watch it.

        Its sites then carry that one position as reader. A model that reads the mean of all
        tokens goes on as ever.
        """
        last, thread = self._block(-1), get_ident()
        if thread in last.narrow_in:
            yield
            return
        last.narrow_in.add(thread)
        try:
            yield
        finally:
            last.narrow_in.discard(thread)

    def point(self, site: Site) -> HookPoint:
        """The hook point of `site`.

        Raises:
            LookupError: this model has no such site.
        """
        if site not in self.points:
            same = [s.layer for s in self.points if s.name == site.name]
            layers = [layer for layer in same if layer is not None]
            if layers and site.layer is not None:
                raise LookupError(
                    f"{site} is outside the model, which has layers 0 to {max(layers)}"
                )
            self.sites(site.name)  # says what this family has instead
            raise LookupError(f"{site.name!r} stands in every block: give it a layer")
        return self.points[site]

    def _current(self) -> Pairs:
        current = self.current.get(get_ident())
        if current is None:
            raise RuntimeError(
                "a hook would have to know its pairs where tokens run apart from them (`relay`): "
                "path patching cannot run under other hooks; use `direct_path` and `path`"
            )
        return current

    # --- TransformerLens' own idiom, without its silences ----------------------------------

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple[Any, Callable]] = (),
        bwd_hooks: Sequence[tuple[Any, Callable]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator["CrossEncoder"]:
        """TransformerLens' `hooks`; an unknown name or a hook that never fires is an error.

        The hooks see the passes of the thread that attached them; those for the backward pass,
        which torch may run in threads of its own, see every gradient.
        """
        handles = []
        with self._expecting() as missing:

            def watched(number: int, hook: Callable) -> Callable:
                def watch(activation: Tensor, hook: HookPoint, f=hook) -> Any:
                    missing.pop(number, None)
                    return f(activation, hook=hook)

                return watch

            listed = [(self.named(name), hook) for name, hook in fwd_hooks]
            backward = [(self.named(name), hook) for name, hook in bwd_hooks]
            try:
                for number, (names, hook) in enumerate(listed):
                    missing[number] = " and ".join(names)
                    for name in names:
                        point, seen = self.hook_dict[name], own_passes(watched(number, hook))
                        handles.append((point, point.add_hook(seen)))
                for names, hook in backward:
                    for name in names:
                        point = self.hook_dict[name]
                        handles.append((point, point.add_hook(hook, dir="bwd")))
                yield self
            finally:
                if reset_hooks_end:
                    for point, handle in handles:
                        detach(point, handle)
                    if clear_contexts:
                        self.clear_contexts()

    def add_hook(self, name: str | Callable[[str], bool], *args: Any, **options: Any) -> None:
        """TransformerLens' `add_hook`, for names that exist."""
        self.named(name)
        super().add_hook(name, *args, **options)

    def run_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, pairs: Any, **options: Any
    ) -> tuple[Float[Tensor, " pair"], PairCache]:
        """The scores, and TransformerLens' cache: `cache["z", 3]`, `cache["hook_embed"]`.

        Raises:
            TypeError: no `Pairs`, or an option that TransformerLens' `run_with_cache` lacks.
            ValueError: several pairs where only one has a batch dimension to remove, or one
                score to differentiate; or no weight asks for gradients.
        """
        for name in ("remove_batch_dim", "incl_bwd"):
            if options.get(name) and isinstance(pairs, Pairs) and len(pairs) != 1:
                raise ValueError(f"{name}=True is for one pair, not {len(pairs)}: pairs.take([0])")
        try:
            scores, kept = super().run_with_cache(pairs, **options)
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
            raise ValueError(
                "incl_bwd=True: the score has no gradient, as weights that load reads from files "
                "ask for none; call model.requires_grad_(True) first, outside of torch.no_grad()"
            ) from error
        return scores, PairCache(kept, self, not options.get("remove_batch_dim", False))

    def add_caching_hooks(self, names_filter: Any = None, *args: Any, **options: Any) -> Any:
        """TransformerLens' `add_caching_hooks`, for names that exist; see `get_caching_hooks`."""
        return super().add_caching_hooks(self._cached(names_filter), *args, **options)

    def get_caching_hooks(
        self,
        names_filter: Any = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict | None = None,
        pos_slice: Any = None,
    ) -> tuple[dict, list, list]:
        """TransformerLens' caching hooks, for names that exist.

        By default every point but `hook_result`, which is as large as all the others
        together and computed only while it is hooked. `pos_slice` leaves sites without
        positions (the pooled state, the logits) as they are.
        """
        chosen, cache = self._cached(names_filter), {} if cache is None else cache
        forward, backward = [], []
        for has_positions in (True, False):
            names = [n for n in chosen if has_positions == bool(COMPUTED & {*Site.of(n).axes})]
            _, fwd, bwd = super().get_caching_hooks(
                names,
                incl_bwd,
                device,
                remove_batch_dim,
                cache,
                pos_slice if has_positions else None,
            )
            forward, backward = forward + fwd, backward + bwd
        return cache, forward, backward

    def _cached(self, names: Any) -> list[str]:
        if names is None:
            return [name for name in self.hook_dict if not name.endswith("hook_result")]
        return self.named(names)

    def named(self, names: str | Iterable[str] | Callable[[str], bool]) -> list[str]:
        """The hook points that a TransformerLens name, list of names or filter means.

        Raises:
            LookupError: a name or filter matches no hook point.
        """
        if callable(names):
            found = [name for name in self.hook_dict if names(name)]
            if not found:
                raise LookupError("the filter matches no hook point; see model.hook_dict")
            return found
        listed = [names] if isinstance(names, str) else list(names)
        for name in listed:
            if name not in self.hook_dict:
                raise LookupError(f"no hook point {name!r}; {near(name, self.hook_dict)}")
        return listed

    def __repr__(self) -> str:
        c = self.cfg
        return (
            f"CrossEncoder({c.checkpoint}: {c.family}, {c.n_layers} layers x {c.n_heads} heads, "
            f"d_model {c.d_model}, score = {self.relevance})"
        )


def is_plain(module: nn.Module) -> bool:
    """Whether this is torch's own linear map, with no hook of torch's on it."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return type(module) is nn.Linear and not hooks


def require_beside(pairs: Pairs, device: torch.device) -> None:
    """Refuse pairs that are not where the weights are.

    A method asks pairs where their tokens stand and applies the answer to what the model computes:
    to move them here would be too late for it, and would move them again for every batch.

    Raises:
        ValueError: says where both are, and what to do.
    """
    if pairs.device != device:
        raise ValueError(
            f"{pairs} on {pairs.device}, but the model is on {device}: they were made before it "
            f"moved, or for another model; give pairs.to(model.device), of a contrast "
            "contrast.to(model.device)"
        )


def refuse_autocast(device: str) -> None:
    """Refuse to compute where torch would replace float32 by 16 bit unasked.

    Raises:
        RuntimeError: `torch.autocast` is on; says what to do.
    """
    if torch.is_autocast_enabled(device):
        raise RuntimeError(
            f"torch.autocast({device!r}) is on, and would change scores and say nothing: call the "
            "model outside of it, or within torch.autocast(..., enabled=False); for 16 bit load it "
            "with dtype='bfloat16'"
        )


@contextmanager
def attached(point: HookPoint, hook: Callable) -> Iterator[None]:
    """`hook` on `point` for the length of the block; no other hook is touched."""
    handle = point.add_hook(hook)
    try:
        yield
    finally:
        detach(point, handle)


def detach(point: HookPoint, handle: LensHandle) -> None:
    """Remove one hook from its point; harmless when the caller has reset all hooks meanwhile."""
    handle.hook.remove()
    for handles in (point.fwd_hooks, point.bwd_hooks):
        for i, other in enumerate(handles):
            if other is handle:
                del handles[i]
                return


def own_passes(hook: Callable) -> Callable:
    """`hook`, for the passes of this thread only: no other thread's scores may change."""
    thread = get_ident()

    def in_thread(activation: Tensor, hook: HookPoint, f=hook) -> Any:
        return f(activation, hook=hook) if get_ident() == thread else None

    return in_thread
