// The outline shows which section is being read.
(() => {
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const parts = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const show = () => {
    const passed = parts.filter((part) => part.getBoundingClientRect().top < 120);
    const here = passed.length ? passed[passed.length - 1].id : null;
    for (const [id, link] of links) {
      if (id === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  document.addEventListener("scroll", show, { passive: true });
  show();
})();
