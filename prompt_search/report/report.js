"use strict";
// Sorts a table by the column whose header button is pressed, and hides the rows that lack the words filtered by.
// Copies the prompt: a page that is opened from a file may lack navigator.clipboard, so the older way is tried first.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button")?.addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const numeric = header.classList.contains("n");
      const keyed = rows.map((row) => {
        const text = value(row, header.cellIndex);
        return [numeric ? parseFloat(text) : text.toLowerCase(), row];
      });
      keyed.sort(([a], [b]) => {
        if (numeric && (isNaN(a) || isNaN(b))) return isNaN(a) - isNaN(b); // unknown last, either way
        return (a < b ? -1 : a > b ? 1 : 0) * (falling ? -1 : 1);
      });
      body.append(...keyed.map(([, row]) => row));
    });
  }
  const filter = document.getElementById(table.dataset.filter);
  const status = document.getElementById(table.dataset.status);
  const texts = new Map();
  filter?.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    status.textContent = table.dataset.filtered.replace("{shown}", shown).replace("{all}", rows.length);
  });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.hidden = false;
    field.select();
    let done = document.execCommand("copy");
    if (!done) {
      done = await (navigator.clipboard?.writeText(field.value) ?? Promise.reject()).then(
        () => true,
        () => false,
      );
    }
    field.hidden = done;
    if (done) button.focus();
    document.getElementById("copied").textContent = done ? button.dataset.done : button.dataset.failed;
  });
}
