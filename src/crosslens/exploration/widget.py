"""The page of `crosslens explore` inside a notebook."""

from importlib.resources import files
from typing import Any

from ..model.encoder import CrossEncoder
from .answers import Answers


RENDER = """
export default { async render({ model, el }) {
  const waiting = new Map();
  model.on("msg:custom", ({ id, answer, error }) => {
    const { done, failed } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error !== undefined) failed?.(new Error(error)); else done?.(answer);
  });
  const ask = (kind, asked) => new Promise((done, failed) => {
    const id = crypto.randomUUID();
    waiting.set(id, { done, failed });
    model.send({ id, kind, asked });
  });
  const remember = (state) => { model.set("state", state); model.save_changes(); };
  const given = Object.keys(model.get("state")).length ? model.get("state") : null;
  await mount(el, ask, given, remember);
} };
"""


def widget(model: CrossEncoder) -> Any:
    """The page for `model` as an `anywidget`, for Jupyter, marimo and VS Code.

    Its `state` is what the page shows: texts, silenced heads, interventions. Scores are logits,
    or differences of two.

    Raises:
        ImportError: anywidget is not installed (`pip install "crosslens[widget]"`).
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError('the widget needs anywidget: pip install "crosslens[widget]"') from error

    here = files("crosslens") / "exploration"
    answers = Answers(model)

    class Explorer(anywidget.AnyWidget):
        _esm = (here / "explore.js").read_text(encoding="utf-8") + RENDER
        _css = (here / "explore.css").read_text(encoding="utf-8")
        state = traitlets.Dict().tag(sync=True)

    def answer(shown: Any, content: dict[str, Any], buffers: Any) -> None:
        try:
            shown.send({"id": content["id"], "answer": answers(content["kind"], content["asked"])})
        except (ValueError, LookupError) as error:
            shown.send({"id": content["id"], "error": str(error)})

    made = Explorer()
    made.on_msg(answer)
    return made
