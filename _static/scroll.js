// A table that scrolls sideways can be reached, and scrolled, by keyboard.
const reach = () => {
  for (const table of document.querySelectorAll(".bd-article table"))
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    else table.removeAttribute("tabindex");
};
addEventListener("load", reach);
addEventListener("resize", reach);
addEventListener("toggle", reach, true);
