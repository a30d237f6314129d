"""Language models that judge a pair: layouts, answers, and scores as their own code gives them."""

import pytest
import torch
from language_models import CHAT, CHAT_OF_PARTS, language_model, tokenizer
from saved import save
from sentence_transformers import CrossEncoder as Theirs
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from tiny import tiny
from torch import nn

from crosslens import load, Site
from crosslens.model.templates import PROMPTS


QUERY = "why do cats purr"
DOCUMENTS = (
    "cats purr when they rest .",
    "the engine of a car , and the cats of the town , purr when they sleep . long is the river .",
    "  paris is the capital and largest city  ",
)
LONG = " ".join([DOCUMENTS[1]] * 9) + " snake"


def close(ours: torch.Tensor, expected: torch.Tensor) -> bool:
    spread = (expected.max() - expected.min()).item()
    assert spread > 0.01  # so that agreement means something
    return (ours - expected).abs().max().item() <= 1e-6 * max(1, spread)


def theirs(tmp_path, family="qwen3", template=CHAT, false=True, max_length=400, **options):
    """A CrossEncoder of sentence-transformers on a tiny language model."""
    words = tokenizer(template)
    words.model_max_length = max_length
    save(tmp_path / "model", language_model(family), words)
    transformer = Transformer(str(tmp_path / "model"), transformer_task="text-generation")
    transformer.processor.chat_template = template
    yes, no = (words.convert_tokens_to_ids(word) for word in ("yes", "no"))
    modules = [transformer, LogitScore(yes, no if false else None)]
    return Theirs(modules=modules, device="cpu", activation_fn=nn.Identity(), **options)


@pytest.mark.parametrize(
    ("options", "max_length"),
    [
        ({}, 400),
        ({"template": CHAT_OF_PARTS}, 400),
        ({"false": False}, 400),
        ({"family": "gemma"}, 400),
        ({"prompts": {"web": "Find what answers."}, "default_prompt_name": "web"}, 400),
        ({}, 120),
    ],
    ids=["flat", "parts", "true alone", "gemma", "prompt", "truncated"],
)
def test_scores_are_predicts_in_memory_and_from_files(tmp_path, options, max_length):
    encoder = theirs(tmp_path, max_length=max_length, **options)
    documents = [*DOCUMENTS, LONG]
    pairs = [(QUERY, document) for document in documents]
    expected = torch.tensor(encoder.predict(pairs, batch_size=1))
    together = torch.tensor(encoder.predict(pairs, batch_size=4))  # padded on the left, which
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-5)  # rounds other rotations
    encoder.save_pretrained(str(tmp_path / "saved"))
    for what in (encoder, tmp_path / "saved"):
        model = load(what)
        laid = model.pair(QUERY, *documents)
        assert (laid.cut[-1] > 0) == (laid.lengths[-1] == max_length)
        with torch.no_grad():
            assert close(model(laid), expected)
        assert close(model.score(QUERY, documents), expected)
    if "prompts" in options:
        assert laid.where("instruction").any(dim=1).all()
        other = load(tmp_path / "saved", instruction="Say no.").score(QUERY, documents)
        expected = torch.tensor(encoder.predict(pairs, prompt="Say no.", batch_size=1))
        assert close(other, expected)


def test_without_a_chat_template_the_two_texts_are_read(tmp_path):
    encoder = theirs(tmp_path, template=None)
    expected = torch.tensor(encoder.predict([(QUERY, document) for document in DOCUMENTS]))
    encoder.save_pretrained(str(tmp_path / "saved"))
    for what in (encoder, tmp_path / "saved"):
        assert close(load(what).score(QUERY, DOCUMENTS), expected)


# --- layouts -----------------------------------------------------------------------------------


def authors_ids(name: str, words, query: str, document: str, instruction: str | None) -> list[int]:
    """As the code that was published with each reranker makes them."""

    def ids(text: str) -> list[int]:
        return words(text, add_special_tokens=False)["input_ids"]

    if name == "qwen3-reranker":
        prefix = (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the "
            'Query and the Instruct provided. Note that the answer can only be "yes" or "no".'
            "<|im_end|>\n<|im_start|>user\n"
        )
        suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        task = instruction or (
            "Given a web search query, retrieve relevant passages that answer the query"
        )
        body = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {document}"
        return ids(prefix) + ids(body) + ids(suffix)
    if name.startswith("mxbai"):
        told = f"instruction: {instruction}\n" if instruction else ""
        system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        task = (
            "You are a search relevance expert who evaluates how well documents match search "
            "queries. For each query-document pair, carefully analyze the semantic relationship "
            "between them, then provide your binary relevance judgment (0 for not relevant, 1 for "
            "relevant).\nRelevance:"
        )
        return (
            ids(f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n")
            + ids(f"{told}query: {query}")
            + ids("\n")
            + ids(f"document: {document}")
            + ids("\n")
            + ids(task)
            + ids("<|im_end|>\n<|im_start|>assistant\n")
        )
    if name == "zerank-2":
        chatml = "".join(
            f"<|im_start|>{role}\n{text}<|im_end|>\n"
            for role, text in (("system", query), ("user", document))
        )
        return ids(chatml + "<|im_start|>assistant\n")
    if name == "ctxl-rerank-v2":
        told = f" {instruction}" if instruction else ""
        return ids(
            "Check whether a given document contains information helpful to answer the query.\n"
            f"<Document> {document}\n<Query> {query}{told} ??"
        )
    task = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the "
        "query by providing a prediction of either 'Yes' or 'No'."
    )
    sep = ids("\n")
    pair = ids(f"A: {query}") + sep + ids(f"B: {document}")
    return [words.bos_token_id, *pair, *sep, *ids(task)]


PUBLISHED = {
    "Qwen3-Reranker-0.6B": ("qwen3-reranker", True),
    "mxbai-rerank-base-v2": ("mxbai-rerank-(base|large)-v2", True),
    "zerank-2": ("zerank-2", False),
    "ctxl-rerank-v2-instruct-multilingual-1b": ("ctxl-rerank-v2", True),
    "bge-reranker-v2-gemma": ("bge-reranker-v2-gemma", False),
}


@pytest.mark.parametrize("folder", PUBLISHED)
def test_a_published_reranker_is_laid_out_by_its_name(tmp_path, folder):
    name, takes_instructions = PUBLISHED[folder]
    prompt = next(p for p in PROMPTS if p.name == name)
    original, words = language_model(prompt.family), tokenizer(CHAT)
    save(tmp_path / folder, original, words)
    true, *false = (
        answer if isinstance(answer, int) else words.convert_tokens_to_ids(answer)
        for answer in prompt.answer
    )
    for instruction in (None, "Find what helps .\n") if takes_instructions else (None,):
        model = load(tmp_path / folder, words, instruction=instruction)
        pairs = model.pair(QUERY, *DOCUMENTS)
        expected = []
        for i, document in enumerate(DOCUMENTS):
            ids = authors_ids(name, words, QUERY, document, instruction)
            assert pairs.token[i, : pairs.lengths[i]].tolist() == ids
            logits = original(torch.tensor([ids])).logits[0, -1]
            expected.append(logits[true] - (logits[false[0]] if false else 0))
        with torch.no_grad():
            assert close(model(pairs), torch.stack(expected))
    if not takes_instructions:
        with pytest.raises(ValueError, match="has no place for one"):
            load(tmp_path / folder, words, instruction="Find what helps.")


def test_a_classifier_exported_from_a_published_reranker_keeps_its_prompt(tmp_path):
    original, _ = tiny("qwen3", vocab_size=440, max_position_embeddings=512, hidden_size=24)
    folder = tmp_path / "Qwen3-Reranker-0.6B-seq-cls"
    words = tokenizer(CHAT)
    original.save_pretrained(folder)
    model = load(folder, words)
    expected = [
        original(torch.tensor([authors_ids("qwen3-reranker", words, QUERY, d, None)])).logits[0, 0]
        for d in DOCUMENTS
    ]
    with torch.no_grad():
        assert close(model(model.pair(QUERY, *DOCUMENTS)), torch.stack(expected).detach())
    with pytest.raises(ValueError, match="relevant='yes': .* is a classifier"):
        load(folder, words, relevant="yes")


@pytest.fixture(scope="module")
def judge():
    """A language model with a template of the caller's."""
    template = "Judge {this}.\nQuery: {query}\nDocument: {document}\n<|im_end|>Answer:"
    return load(language_model("qwen3"), tokenizer(), template=template, relevant=("yes", "no"))


def test_every_token_knows_its_text_and_its_place(judge):
    pairs = judge.pair(QUERY, *DOCUMENTS)
    words = judge.tokens.tokenizer
    for i, document in enumerate(DOCUMENTS):
        for segment, text in (("query", QUERY), ("document", document)):
            rows = pairs.where(segment)[i].nonzero().flatten().tolist()
            spelled = ""
            for row in rows:
                start, end = pairs.span[i, row].tolist()
                piece = words.decode(pairs.token[i, row])
                assert text[start:end] == piece.strip()
                spelled += text[start:end]
            assert spelled.split() == "".join(text.split()).split()
            numbers = pairs.word[i, rows].tolist()
            assert numbers[0] == 0 and numbers == sorted(numbers)
        named = pairs.words(i)
        assert named[0] == "[TEMPLATE]" and named[int(pairs.scored[i])] == "[TEMPLATE]"
    assert not (pairs.where("template") & pairs.where("query", "document")).any()
    assert torch.equal(pairs.scored, pairs.lengths - 1)
    assert "Judge {this}." in words.decode(pairs.token[0])


def test_a_token_that_reaches_out_of_the_document_is_the_documents(judge):
    """Byte-level tokenizers join a full stop with the newline of the template."""
    pairs = judge.pair(QUERY, "cats purr.", "cats purr")
    words = judge.tokens.tokenizer
    last = int(pairs.where("document")[0].nonzero()[-1])
    assert words.decode(pairs.token[0, last]) == ".\n"
    assert pairs.span[0, last].tolist() == [9, 10]


@pytest.mark.parametrize(
    "template",
    ["{query}\n{document}<|im_end|>Answer:", "<bos>{document}\nis it about {query} ?"],
    ids=["document last", "document first"],
)
def test_only_the_document_is_cut(template):
    options = {"template": template, "relevant": ("yes", "no")}
    original, words = language_model("qwen3"), tokenizer()
    whole = load(original, words, **options).pair(QUERY, LONG)
    model = load(original, words, **options, max_length=60)
    pairs = model.pair(QUERY, LONG, "cats")
    assert pairs.lengths.tolist()[0] == 60 and pairs.cut.tolist()[1] == 0
    assert pairs.cut.tolist()[0] == whole.lengths[0] - 60
    for kind in ("query", "template"):
        assert torch.equal(pairs.token[0][pairs.where(kind)[0]], whole.token[whole.where(kind)])
    kept = pairs.token[0][pairs.where("document")[0]]
    assert torch.equal(kept, whole.token[whole.where("document")][: len(kept)])
    assert torch.equal(pairs.word[0][pairs.where("query")[0]], whole.word[whole.where("query")])
    with pytest.raises(ValueError, match="the query of pair 0 leaves no room for its document"):
        model.pair(" ".join([QUERY] * 30), "cats")
    with pytest.raises(ValueError, match="longest_first"):
        load(original, words, **options, truncation="longest_first")


@pytest.mark.parametrize("template", [None, "{query} ? {document} :", "{document}. {query} ?"])
def test_a_query_leaves_space_where_a_long_document_can_be_read(template):
    """Said of every length of a query around the limit, and tried on words and on numbers, before
    which a space is a token of its own."""
    if template is None:
        model = load(*tiny("bert"), truncation="only_second", max_length=40)
    else:
        options = {"template": template, "relevant": "yes", "max_length": 40}
        model = load(language_model("qwen3"), tokenizer(), **options)
    queries = [("cats " * n).strip() for n in range(20, 45)]
    answers = []
    for query in queries:
        try:
            model.pair(query, LONG, "7 " * 60)
            answers.append(True)
        except ValueError as error:
            assert "leaves no room for its document" in str(error)
            answers.append(False)
    assert model.tokens.leave_space(queries) == answers and len({*answers}) == 2
    assert model.tokens.leave_space([]) == []


# --- the answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma"])
def test_the_score_is_a_difference_of_two_logits_of_the_vocabulary(family):
    original, words = language_model(family), tokenizer()
    template = "{query} ? {document}"
    both = load(original, words, template=template, relevant=("yes", "no"))
    one = load(original, words, template=template, relevant="yes")
    pairs = both.pair(QUERY, *DOCUMENTS)
    with torch.no_grad():
        logits = original(input_ids=pairs.token, attention_mask=pairs.attended.long()).logits
        logits = logits[torch.arange(3), pairs.scored]
        yes, no = (words.convert_tokens_to_ids(word) for word in ("yes", "no"))
        assert close(both(pairs), logits[:, yes] - logits[:, no])
        assert close(one(pairs), logits[:, yes])
        with both.record("logits", "pooled") as cache:
            both(pairs)
    assert cache[Site("logits")].shape == (3, 1)  # never the whole vocabulary
    numbered = load(original, words, template=template, relevant=(yes, no))
    assert torch.equal(numbered(pairs), both(pairs))


def test_pairs_score_the_same_alone_and_without_a_padding_token(judge):
    scores = judge.score(QUERY, DOCUMENTS)
    alone = torch.cat([judge.score(QUERY, [document]) for document in DOCUMENTS])
    torch.testing.assert_close(scores, alone)
    template = judge.tokens.layout.written[0]
    other = load(
        language_model("qwen3", pad_token_id=None),
        tokenizer(pad=False),
        template=template,
        relevant=("yes", "no"),
    )
    torch.testing.assert_close(other.score(QUERY, DOCUMENTS), scores)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"does not say how it judges a pair.*template and relevant missing"),
        ({"template": "{query} {document}"}, "relevant missing"),
        ({"relevant": "yes"}, "template missing"),
        ({"template": "{query} ?"}, "0 places for the document"),
        ({"template": "{query} {document} {document}"}, "2 places for the document"),
        ({"template": "{query} {document} {instruction}"}, "a place for an instruction"),
        (
            {"template": "{query} {document}", "relevant": "undoubtedly"},
            "relevant='undoubtedly' is no single token",
        ),
        (
            {"template": "{query} {document}", "relevant": ("yes", "yes")},
            "is the true and the false one",
        ),
        ({"template": "{query} {document}", "relevant": 9999}, "number 9999; the model has 440"),
        ({"template": "{query} {document}", "relevant": ("a", "b", "c")}, "give one token, or"),
    ],
)
def test_a_silent_language_model_is_refused(options, message):
    if "template" in options and "document" in options["template"] and "relevant" not in options:
        if message != "relevant missing":
            options = options | {"relevant": "yes"}
    elif options.get("template") == "{query} ?":
        options = options | {"relevant": "yes"}
    with pytest.raises(ValueError, match=message):
        load(language_model("qwen3"), tokenizer(), **options)


def test_a_capped_vocabulary_is_refused():
    with pytest.raises(ValueError, match="final_logit_softcapping 30.0"):
        load(
            language_model("gemma2"),
            tokenizer(),
            template="{query} {document}",
            relevant="yes",
        )


def test_a_chat_template_that_loses_a_text_is_refused(tmp_path):
    encoder = theirs(tmp_path)
    encoder[0].processor.chat_template = "{{ messages[0].content }}"
    with pytest.raises(ValueError, match="0 places for messages with the role 'document'"):
        load(encoder)
    encoder[0].processor.chat_template = CHAT.replace("m.content", "m.content | upper")
    with pytest.raises(ValueError, match="0 places for messages"):
        load(encoder)


def test_a_chat_template_may_trim_one_text_and_not_another(tmp_path):
    of_documents = "(m.content | trim if m.role == 'document' else m.content)"
    prompts = {"prompts": {"web": "Find what answers.\n"}, "default_prompt_name": "web"}
    encoder = theirs(tmp_path, template=CHAT.replace("m.content", of_documents), **prompts)
    query, documents = " why do cats purr\n", [f"\n{text} \n" for text in DOCUMENTS]
    expected = torch.tensor(encoder.predict([(query, text) for text in documents], batch_size=1))
    assert close(load(encoder).score(query, documents), expected)


def test_an_instruction_that_nothing_reads_is_refused(tmp_path):
    with pytest.raises(ValueError, match="instruction='Find': the template .* no place for it"):
        load(
            language_model("qwen3"),
            tokenizer(),
            template="{query} {document}",
            instruction="Find",
            relevant="yes",
        )
    of_pairs = CHAT.replace("in messages", "in messages if m.role != 'system'")
    encoder = theirs(tmp_path, template=of_pairs)
    load(encoder)
    with pytest.raises(ValueError, match="instruction='Find': .* leaves out the system message"):
        load(encoder, instruction="Find")


@pytest.mark.parametrize("relevant", [True, (True, "no")], ids=str)
def test_an_answer_that_is_no_token_nor_two_in_order_is_refused(relevant):
    with pytest.raises(ValueError, match="relevant=.*: give a word that is one token"):
        load(
            language_model("qwen3"),
            tokenizer(),
            template="{query} {document}",
            relevant=relevant,
        )


def test_a_chat_template_that_changes_a_text_is_refused_with_the_text(tmp_path):
    encoder = theirs(tmp_path)
    encoder[0].processor.chat_template = CHAT.replace(
        "m.content", "m.content | replace('cats', 'dogs')"
    )
    with pytest.raises(ValueError, match="changes the text it renders"):
        load(encoder).pair(QUERY, *DOCUMENTS)
