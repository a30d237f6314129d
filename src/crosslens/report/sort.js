// A column's name sorts its table: numbers by size, words by the alphabet, once more to turn.
(() => {
  const value = (row, column) => {
    const text = row.cells[column]?.textContent.trim() ?? "";
    const number = parseFloat(text.replace(/[, ]/g, "").replace("−", "-"));
    return { text, number: /^[-+−]?[\d.]/.test(text) ? number : NaN };
  };
  const compare = (a, b) =>
    Number.isNaN(a.number) || Number.isNaN(b.number)
      ? Number.isNaN(a.number) - Number.isNaN(b.number) || a.text.localeCompare(b.text)
      : a.number - b.number;
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0], names = table.tHead?.rows[0]?.cells;
    if (!body || !names || body.rows.length < 2) continue;
    [...names].forEach((name, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...name.childNodes);
      name.append(button);
      button.addEventListener("click", () => {
        const falls = name.getAttribute("aria-sort") === "ascending";
        for (const other of names) other.removeAttribute("aria-sort");
        name.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
        body.append(...(falls ? rows.reverse() : rows));
      });
    });
  }
})();
