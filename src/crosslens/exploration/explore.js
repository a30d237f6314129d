// One view for the page and for notebooks: it asks, shows what is answered, and keeps its state.
// ask(kind, state) answers or throws; remember(state) is called with every change.
const EMPTY = {
  query: "", passages: [""], silenced: [], hidden: { toQuery: false, toDocument: false, from: 0 },
  lines: "", layer: 0, head: null, focus: 0, compared: [0, 1],
};
const EXAMPLE = {
  ...EMPTY, query: "how to store apples over winter",
  passages: [
    "You can store apples in a fridge for six weeks.",
    "Apples keep through the winter in a cool cellar, wrapped in paper and not touching.",
    "Winter is cold.",
  ],
};

const make = (tag, given = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "className" || name === "value" || name === "checked") made[name] = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
};
const number = (value) => (value >= 0 ? "+" : "") + value.toFixed(3);

export async function mount(root, ask, given, remember) {
  const model = await ask("model", {});
  let state = complete(given ?? EXAMPLE);
  let answered = null;
  let asking = 0;
  let waiting = null;

  const error = make("p", { className: "error", role: "alert" });
  const query = make("input", { type: "text", "aria-label": "Query", oninput: () => change({ query: query.value }) });
  const list = make("div");
  const grid = make("div", { className: "grid", role: "group", "aria-label": "Heads: press to silence" });
  const lines = make("textarea", {
    rows: 2, "aria-label": "Further interventions, one a line", spellcheck: "false",
    placeholder: "ablate 3.mlp", oninput: () => change({ lines: lines.value }),
  });
  const toQuery = box("the query cannot read the passage", "toQuery");
  const toDocument = box("the passage cannot read the query", "toDocument");
  const from = picker(model.layers, "From layer", (at) => change({ hidden: { ...state.hidden, from: at } }));
  const layer = picker(model.layers, "Layer of the attention shown", (at) => change({ layer: at }));
  const head = picker(model.heads, "Head of the attention shown", (at) => change({ head: at }), "mean of heads");
  const focus = make("select", { "aria-label": "Passage whose attention is shown", onchange: () => change({ focus: +focus.value }) });
  const tokens = make("div", { className: "tokens" });
  const shares = make("p", { className: "soft", "aria-live": "polite" });
  const first = make("select", { "aria-label": "First passage", onchange: () => compareThese(0, +first.value) });
  const second = make("select", { "aria-label": "Second passage", onchange: () => compareThese(1, +second.value) });
  const compared = make("div");
  const code = make("pre", { tabindex: 0, "aria-label": "Python" });
  const copy = make("button", { type: "button", onclick: () => navigator.clipboard?.writeText(code.textContent) }, "Copy");

  root.classList.add("cl");
  root.replaceChildren(
    make("header", {}, make("h1", {}, "CrossLens"), make("span", { className: "soft" },
      `${model.name}: ${model.layers} layers × ${model.heads} heads`)),
    error,
    make("div", { className: "column" },
      make("section", {}, make("h2", {}, "Query"), query),
      make("section", {}, make("h2", {}, "Passages"), list, make("div", { className: "row" },
        make("button", { type: "button", onclick: () => change({ passages: [...state.passages, ""] }, true) }, "Add a passage"))),
      make("section", {}, make("h2", {}, "Attention"),
        make("div", { className: "row" }, focus, layer, head),
        make("p", { className: "soft" }, "Point at a token, or move to it by keyboard: what it reads is coloured, what reads it is underlined."),
        tokens, shares)),
    make("div", { className: "column" },
      make("section", {}, make("h2", {}, "Silence heads"),
        make("p", { className: "soft" }, "Press a head, or a layer's name for all of its heads."), grid),
      make("section", {}, make("h2", {}, "Hide texts from each other"), toQuery.label, toDocument.label,
        make("div", { className: "row" }, from)),
      make("section", {}, make("h2", {}, "Further interventions"), lines),
      make("section", {}, make("h2", {}, "Compare two passages"), make("div", { className: "row" }, first, second),
        make("p", { className: "soft" }, "How far each score falls without a word of the query."), compared),
      make("section", {}, make("h2", {}, "Python of this page"), copy, code)),
  );

  function box(text, name) {
    const input = make("input", { type: "checkbox", onchange: () => change({ hidden: { ...state.hidden, [name]: input.checked } }) });
    return { input, label: make("div", { className: "row" }, make("label", {}, input, ` ${text}`)) };
  }

  function picker(n, name, changed, none = null) {
    const made = make("select", { "aria-label": name, onchange: () => changed(made.value === "" ? null : +made.value) });
    if (none !== null) made.append(make("option", { value: "" }, none));
    const noun = none === null ? (name.startsWith("From") ? "from layer" : "layer") : "head";
    for (let i = 0; i < n; i++) made.append(make("option", { value: i }, `${noun} ${i}`));
    return made;
  }

  function complete(kept) {
    const whole = { ...EMPTY, ...kept, hidden: { ...EMPTY.hidden, ...kept?.hidden } };
    if (!Array.isArray(whole.passages) || !whole.passages.length) whole.passages = [""];
    return whole;
  }

  function interventions() {
    const found = [];
    if (state.silenced.length) found.push(`ablate ${state.silenced.join(" ")}`);
    const since = state.hidden.from ? ` from layer ${state.hidden.from}` : "";
    if (state.hidden.toQuery) found.push(`mask document->query${since}`);
    if (state.hidden.toDocument) found.push(`mask query->document${since}`);
    return [...found, ...state.lines.split("\n").map((line) => line.trim()).filter(Boolean)];
  }

  const asked = () => ({ query: state.query, passages: state.passages, interventions: interventions() });

  function change(some, now = false) {
    state = { ...state, ...some };
    state.focus = Math.min(state.focus, state.passages.length - 1);
    remember(state);
    showState();
    clearTimeout(waiting);
    waiting = setTimeout(answer, now ? 0 : 120);
  }

  function compareThese(place, chosen) {
    const both = [...state.compared];
    both[place] = chosen;
    change({ compared: both }, true);
  }

  async function answer() {
    const mine = ++asking;
    const ready = state.query.trim() && state.passages[state.focus]?.trim();
    const [a, b] = state.compared.map((i) => state.passages[i]?.trim());
    try {
      const found = await ask("scores", asked());
      if (mine !== asking) return;
      answered = found;
      showScores();
      const python = await ask("code", asked());
      if (mine !== asking) return;
      code.textContent = python.code;
      if (ready) {
        const seen = await ask("attention", { ...asked(), passage: state.focus, layer: state.layer, head: state.head });
        if (mine !== asking) return;
        showTokens(seen);
      } else tokens.replaceChildren();
      if (state.query.trim() && a && b) {
        const apart = await ask("compare", { ...asked(), first: state.compared[0], second: state.compared[1] });
        if (mine !== asking) return;
        showCompared(apart.words);
      } else compared.replaceChildren();
      error.textContent = "";
    } catch (wrong) {
      if (mine === asking) error.textContent = wrong.message;
    }
  }

  function showState() {
    if (query.value !== state.query) query.value = state.query;
    if (lines.value !== state.lines) lines.value = state.lines;
    toQuery.input.checked = state.hidden.toQuery;
    toDocument.input.checked = state.hidden.toDocument;
    from.value = state.hidden.from;
    layer.value = state.layer;
    head.value = state.head ?? "";
    for (const [select, chosen] of [[focus, state.focus], [first, state.compared[0]], [second, state.compared[1]]]) {
      select.replaceChildren(...state.passages.map((_, i) => make("option", { value: i }, `passage ${i + 1}`)));
      select.value = Math.min(chosen, state.passages.length - 1);
    }
    showPassages();
    for (const button of grid.querySelectorAll("[data-head]"))
      button.setAttribute("aria-pressed", state.silenced.includes(button.dataset.head));
  }

  function showPassages() {
    while (list.children.length > state.passages.length) list.lastChild.remove();
    state.passages.forEach((text, i) => {
      if (!list.children[i]) list.append(card(i));
      const area = list.children[i].querySelector("textarea");
      if (area.value !== text) area.value = text;
    });
    for (const button of list.querySelectorAll(".remove")) button.disabled = state.passages.length < 2;
  }

  function card(i) {
    const area = make("textarea", {
      "aria-label": `Passage ${i + 1}`, rows: 3,
      oninput: () => change({ passages: state.passages.map((old, j) => (j === i ? area.value : old)) }),
    });
    return make("div", { className: "passage" },
      make("div", { className: "rank" }), area, make("div"),
      make("div", { className: "row" },
        make("span", { className: "score" }), make("span", { className: "moved" }),
        make("div", { className: "track" }, make("div", { className: "bar" })),
        make("button", {
          type: "button", className: "remove", "aria-label": `Remove passage ${i + 1}`,
          onclick: () => change({ passages: state.passages.filter((_, j) => j !== i) }, true),
        }, "Remove")));
  }

  function showScores() {
    const { plain, edited, activated } = answered;
    const there = edited.filter((score) => score !== null);
    const low = Math.min(...there), high = Math.max(...there);
    const rank = (scores, i) => 1 + scores.filter((s) => s !== null && s > scores[i]).length;
    [...list.children].forEach((each, i) => {
      const score = edited[i], is = score !== null && score !== undefined;
      each.classList.toggle("first", is && rank(edited, i) === 1);
      each.querySelector(".rank").textContent = is ? rank(edited, i) : "–";
      const after = model.activation === "Identity" || !is ? "" : ` (${model.activation} ${activated[i].toFixed(4)})`;
      each.querySelector(".score").textContent = is ? `${score.toFixed(3)}${after}` : "no text yet";
      each.querySelector(".bar").style.width = is ? `${high > low ? 4 + (96 * (score - low)) / (high - low) : 100}%` : "0";
      const moved = each.querySelector(".moved"), by = is ? score - plain[i] : 0;
      const before = is ? rank(plain, i) : 0;
      moved.className = `moved ${by > 0 ? "rose" : "fell"}`;
      moved.textContent = Math.abs(by) < 5e-4 ? "" : `${number(by)}, rank was ${before}`;
    });
  }

  function showTokens({ tokens: found, pattern }) {
    const buttons = found.map((token, i) => make("button", {
      type: "button", className: `${token.goes_on ? "goes-on" : ""} ${token.text === `[${token.segment.toUpperCase()}]` ? "special" : ""}`,
      onmouseenter: () => choose(i), onfocus: () => choose(i),
    }, token.text));
    const part = (name, break_) => make("div", { "data-part": name }, ...buttons.filter((_, i) => break_(found[i], i)));
    const split = found.findIndex((token) => token.segment === "document");
    tokens.replaceChildren(part("query", (_, i) => i < split), part("passage", (_, i) => i >= split));
    shares.textContent = "";
    function choose(i) {
      const reads = pattern[i], top = Math.max(...reads), isRead = pattern.map((row) => row[i]), most = Math.max(...isRead);
      buttons.forEach((button, j) => {
        button.style.setProperty("--to", top ? reads[j] / top : 0);
        button.style.setProperty("--from", most ? isRead[j] / most : 0);
        button.classList.toggle("chosen", j === i);
        button.title = `read by the chosen token: ${(100 * reads[j]).toFixed(1)} %; reads it: ${(100 * isRead[j]).toFixed(1)} %`;
      });
      const sum = (name) => reads.reduce((total, share, j) => total + (found[j].segment === name ? share : 0), 0);
      const [ofQuery, ofPassage] = [sum("query"), sum("document")];
      shares.textContent = `“${found[i].text}” gives ${(100 * ofQuery).toFixed(0)} % of its attention to the query, ` +
        `${(100 * ofPassage).toFixed(0)} % to the passage, ${(100 * (1 - ofQuery - ofPassage)).toFixed(0)} % to special tokens.`;
    }
  }

  function showCompared(words) {
    const rows = words.map(({ word, first: a, second: b }) => make("tr", {}, make("th", { scope: "row" }, word),
      ...[a, b, a - b].map((value) => make("td", {}, number(value)))));
    compared.replaceChildren(make("table", {}, make("thead", {}, make("tr", {},
      ...["word", `passage ${state.compared[0] + 1}`, `passage ${state.compared[1] + 1}`, "difference"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows)));
  }

  grid.style.gridTemplateColumns = `max-content repeat(${model.heads}, minmax(22px, 1fr))`;
  const silence = (heads) => {
    const all = heads.every((each) => state.silenced.includes(each));
    const rest = state.silenced.filter((each) => !heads.includes(each));
    change({ silenced: all ? rest : [...rest, ...heads] }, true);
  };
  for (let l = model.layers - 1; l >= 0; l--) {
    const row = Array.from({ length: model.heads }, (_, h) => `${l}.${h}`);
    grid.append(make("button", { type: "button", className: "layer", "aria-label": `All heads of layer ${l}`, onclick: () => silence(row) }, `layer ${l}`));
    for (const name of row)
      grid.append(make("button", {
        type: "button", "data-head": name, "aria-label": `Head ${name}`, "aria-pressed": "false", onclick: () => silence([name]),
      }, name.split(".")[1]));
  }

  const restore = (kept) => { if (kept && JSON.stringify(kept) !== JSON.stringify(state)) { state = complete(kept); showState(); answer(); } };
  showState();
  await answer();
  return { restore };
}
