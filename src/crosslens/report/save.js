// Every figure can be saved: as SVG or PNG as it is drawn, as CSV of what it shows.
(() => {
  const hand = (name, address) => {
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
  };
  const write = (name, kind, text) => {
    const address = URL.createObjectURL(new Blob([text], { type: kind }));
    hand(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };
  const button = (text, label, pressed) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", pressed);
    return made;
  };
  const plain = (text) => String(text ?? "").replace(/<[^>]*>/g, " ");
  const quoted = (value) => {
    const text = plain(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const list = (values) => Array.from(values?._inputArray ?? values ?? []);

  // One row per point or cell: the trace, its place, its value, and what its hover says.
  const rows = (traces) => {
    const found = [["trace", "x", "y", "value", "note"]];
    for (const trace of traces) {
      const x = list(trace.x), y = list(trace.y), name = trace.name ?? "";
      const noted = (at) => [].concat(at ?? "").join("; ");
      if (trace.type === "heatmap") {
        list(trace.z).forEach((line, i) => list(line).forEach((value, j) =>
          found.push([name, x[j], y[i], value, noted(list(trace.customdata)[i]?.[j])])));
      } else {
        const n = Math.max(x.length, y.length);
        for (let i = 0; i < n; i++) found.push([name, x[i], y[i], "", noted(list(trace.customdata)[i])]);
      }
    }
    return found.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  };

  for (const place of document.querySelectorAll("[data-save]")) {
    const id = place.dataset.save, box = document.querySelector(`[data-figure="${id}"]`);
    const picture = (format) => () =>
      Plotly.downloadImage(box, { format, filename: id, width: box.clientWidth, height: box.clientHeight, scale: format === "png" ? 2 : 1 });
    place.append(
      button("SVG", `Save ${id} as SVG`, picture("svg")),
      button("PNG", `Save ${id} as PNG`, picture("png")),
      button("CSV", `Save the values of ${id} as CSV`, () => write(`${id}.csv`, "text/csv", rows(box.data))),
    );
  }
  for (const place of document.querySelectorAll("[data-drawing]")) {
    const svg = () => {
      const copy = place.parentElement.querySelector("svg").cloneNode(true);
      const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
      style.textContent = document.querySelector("style").textContent;
      copy.prepend(style);
      return new XMLSerializer().serializeToString(copy);
    };
    place.append(button("SVG", "Save the circuit as SVG", () => write(`${place.dataset.drawing}.svg`, "image/svg+xml", svg())));
  }
})();
