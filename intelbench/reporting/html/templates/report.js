"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const announcement = document.getElementById("announcement");

// -- tables: a click on a column's heading sorts by it, a second one the other way round, a third as it was -----------

/** Compare two cells by their numbers, else by their texts; an absent one comes last, whichever way. */
function compared(first, second, sign) {
  const absent = (first.value === undefined) - (second.value === undefined);
  if (absent || first.value === undefined) return absent;
  const isNumber = typeof first.value === "number";
  return sign * (isNumber ? first.value - second.value || 0 : first.value.localeCompare(second.value, "en", { numeric: true }));
}

/** What a column's cell is sorted by: its number where the column has numbers, else its text; undefined where absent. */
function valueOf(cell, hasNumbers) {
  if (hasNumbers) return "value" in cell.dataset ? Number(cell.dataset.value) : undefined;
  const text = cell.textContent.trim();
  return text === "" || text === "–" ? undefined : text;
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2 || headings.some((heading) => !heading.textContent.trim())) return;

  function sort(heading, column) {
    const way = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort") ?? "none"];
    for (const other of headings) other.removeAttribute("aria-sort");
    const name = heading.textContent;
    if (way === "none") {
      body.append(...original);
      announcement.textContent = "In the original order";
      return;
    }
    const cells = original.map((row) => row.cells[column]);
    const hasNumbers = cells.some((cell) => "value" in cell.dataset);
    const rows = original.map((row, place) => ({ row, value: valueOf(cells[place], hasNumbers) }));
    rows.sort((first, second) => compared(first, second, way === "ascending" ? 1 : -1));
    body.append(...rows.map(({ row }) => row));
    heading.setAttribute("aria-sort", way);
    announcement.textContent = `Sorted by ${name}, ${way}`;
  }

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading, column));
    heading.append(button);
  });
}

for (const table of document.querySelectorAll("table:not(.matrix)")) makeSortable(table);

// -- pictures ---------------------------------------------------------------------------------------------------------

/** Put the image of that number into its place. */
function fill(place, number) {
  const [name, content] = data.images[number];
  if (content === null) {
    place.classList.add("absent");
    place.textContent = "no picture";
    return;
  }
  const image = document.createElement("img");
  image.alt = name;
  image.src = `data:image/webp;base64,${content}`;
  place.append(image);
}

for (const place of document.querySelectorAll("[data-image]")) fill(place, place.dataset.image);

// -- confusion matrices: a cell opens its images, arrow keys move between cells ---------------------------------------

const dialog = document.getElementById("cell");

function listItem([number, said]) {
  const item = document.createElement("li");
  const [place, text, name] = ["span", "span", "small"].map((tag) => document.createElement(tag));
  place.className = "picture";
  fill(place, number);
  text.textContent = said;
  name.textContent = data.images[number][0].split("/").pop();
  item.append(place, text, name);
  return item;
}

function open(key) {
  const [title, note, items] = data.cells[key];
  document.getElementById("cell-title").textContent = title;
  document.getElementById("cell-note").textContent = note;
  document.getElementById("cell-images").replaceChildren(...items.map(listItem));
  dialog.showModal();
  dialog.scrollTop = 0;
}

for (const button of document.querySelectorAll("[data-cell]")) {
  button.addEventListener("click", () => open(button.dataset.cell));
}
document.getElementById("cell-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // a click outside the content
});

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Of all cells of a matrix one can be reached by Tab, the others from there by the arrow keys. */
function moveByArrows(table) {
  const buttons = [...table.querySelectorAll("button")];
  buttons.forEach((button, place) => (button.tabIndex = place ? -1 : 0));
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.target.tagName !== "BUTTON") return;
    event.preventDefault();
    const cell = event.target.parentElement;
    let [row, column] = [cell.parentElement.rowIndex + step[0], cell.cellIndex + step[1]];
    while (table.rows[row]?.cells[column] && !table.rows[row].cells[column].querySelector("button")) {
      row += step[0];
      column += step[1];
    }
    const next = table.rows[row]?.cells[column]?.querySelector("button");
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

for (const table of document.querySelectorAll(".matrix")) moveByArrows(table);

// -- the page ---------------------------------------------------------------------------------------------------------

// What scrolls sideways can be reached and scrolled by the keyboard.
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".scroll, .figure, pre")) sizes.observe(box);

// A link to a section that is folded away opens it.
function openLinked() {
  const section = document.getElementById(location.hash.slice(1))?.closest("details");
  if (section) section.open = true;
}
addEventListener("hashchange", openLinked);
openLinked();

// Paper shows what is folded away.
const folded = document.querySelectorAll("details:not([open])");
addEventListener("beforeprint", () => folded.forEach((each) => (each.open = true)));
addEventListener("afterprint", () => folded.forEach((each) => (each.open = false)));

// The table of contents says where the reader is.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const headings = [...links.keys()].map((anchor) => document.getElementById(anchor));
function mark() {
  const current = headings.findLast((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
  for (const [anchor, link] of links) {
    if (anchor !== current?.id) link.removeAttribute("aria-current");
    else if (!link.hasAttribute("aria-current")) {
      link.setAttribute("aria-current", "true");
      link.closest("ol").scrollLeft = link.offsetLeft - innerWidth / 3; // on a narrow screen they are in a line
    }
  }
}
addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
mark();
