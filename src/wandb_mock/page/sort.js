"use strict";

// Numbers come before texts, and empty cells last, in either direction.
function key(cell) {
  if ("number" in cell.dataset) return { rank: 0, value: Number(cell.dataset.number) };
  const text = cell.textContent.trim();
  return { rank: text ? 1 : 2, value: text };
}

function compare(a, b, direction) {
  if (a.rank !== b.rank) return a.rank - b.rank;
  const order = a.rank === 0 ? a.value - b.value : a.value.localeCompare(b.value, "en", { numeric: true });
  return direction * (order || 0);
}

function sort(table, head) {
  const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map(row => ({ row, key: key(row.cells[head.cellIndex]) }));
  rows.sort((a, b) => compare(a.key, b.key, direction));
  table.tBodies[0].append(...rows.map(each => each.row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
}
