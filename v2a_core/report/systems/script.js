"use strict";
// One player at a time, made when it is wanted. A row's picture runs silently beside whichever sound plays.
const find = (selector) => document.querySelector(selector);
const rows = [...document.querySelectorAll(".row")];
const [section, tools, stop, filter, label, sort, order, count] = ["#rows", ".tools", "#stop", "#filter", "#label", "#sort", "#order", "#count"].map(find);
const APART_S = 0.15; // the picture may be so far from the sound
let now = null; // {button, figure, player, picture}

const name = (button, verb) => button.setAttribute("aria-label", button.getAttribute("aria-label").replace(/^\w+/, verb));

function forget(player) {
  player.pause();
  player.removeAttribute("src");
  player.load();
  player.remove();
}

function end() {
  if (!now) return;
  const { button, figure, player, picture } = now;
  now = null;
  forget(player);
  if (picture && picture !== player) forget(picture);
  figure.classList.remove("playing", "used");
  figure.closest(".row").classList.remove("now");
  name(button, "Play");
  stop.disabled = true;
}

function make(kind, source) {
  const player = document.createElement(kind);
  player.playsInline = true;
  player.src = source;
  return player;
}

function follow(player, picture) {
  if (picture === player || !picture || !picture.duration) return;
  const at = Math.min(player.currentTime, picture.duration - 0.01);
  if (Math.abs(picture.currentTime - at) > APART_S) picture.currentTime = at;
}

function start(button, share) {
  end();
  const figure = button.closest("figure"), row = figure.closest(".row"), screen = row.querySelector(".screen");
  const plots = figure.querySelector(".plots");
  const own = screen && screen.dataset.video === button.dataset.sound; // the reference's sound is the video's
  const player = make(own ? "video" : "audio", button.dataset.sound);
  let picture = own ? player : null;
  if (screen && !own) {
    picture = make("video", screen.dataset.video);
    picture.muted = true;
  }
  if (picture) screen.append(picture);
  if (!own) button.before(player);
  const mine = { button, figure, player, picture };
  now = mine;
  const show = () => {
    if (now !== mine) return;
    if (player.duration) plots.style.setProperty("--at", player.currentTime / player.duration);
    follow(player, picture);
    if (!player.paused) requestAnimationFrame(show);
  };
  player.addEventListener("play", () => {
    figure.classList.add("playing", "used");
    name(button, "Pause");
    if (picture !== player && picture) picture.play().catch(() => undefined);
    show();
  });
  player.addEventListener("pause", () => {
    if (now !== mine) return;
    figure.classList.remove("playing");
    name(button, "Play");
    if (picture) picture.pause();
  });
  player.addEventListener("seeked", show);
  player.addEventListener("loadedmetadata", () => { if (share) player.currentTime = share * player.duration; });
  player.addEventListener("ended", end);
  player.addEventListener("error", () => { if (now === mine) end(); });
  row.classList.add("now");
  stop.disabled = false;
  player.play().catch(() => undefined);
}

function toggle(button) {
  if (!now || now.button !== button) start(button);
  else if (now.player.paused) now.player.play().catch(() => undefined);
  else now.player.pause();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".play");
  if (button) { toggle(button); return; }
  const plots = event.target.closest(".plots");
  if (!plots) return;
  const box = plots.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
  const play = plots.querySelector(".play");
  if (now && now.button === play && now.player.duration) {
    now.player.currentTime = share * now.player.duration;
    now.player.play().catch(() => undefined);
  } else start(play, share);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { end(); return; }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && now && event.target === now.button) { now.player.currentTime += step; event.preventDefault(); }
});

// What a row is found by: its label or name, caption and name; not its scores.
const texts = new Map(rows.map((row) => [row, [...row.querySelectorAll("h3, .caption, .name")].map((part) => part.textContent).join(" ").toLowerCase()]));
const values = new Map(rows.map((row) => [row, [...row.querySelectorAll("dd[data-metric]")].map((part) => ({
  part, metric: part.dataset.metric, system: part.closest("figure").dataset.system, value: Number(part.dataset.value),
}))]));

function select() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const other = label && label.value && row.dataset.label !== label.value;
    row.hidden = Boolean(other) || !words.every((word) => texts.get(row).includes(word));
    if (!row.hidden) shown += 1;
  }
  if (now && now.figure.closest(".row").hidden) end();
  count.textContent = `${shown} of ${rows.length} shown`;
}

function arrange() {
  const option = sort.selectedOptions[0], metric = option.value, { system, better } = option.dataset;
  const turned = order.getAttribute("aria-pressed") === "true";
  order.textContent = metric ? (turned ? "Best first" : "Worst first") : (turned ? "Z to A" : "A to Z");
  const keys = new Map();
  for (const row of rows) {
    let found = null;
    for (const item of values.get(row)) {
      const chosen = item.metric === metric && item.system === system;
      item.part.classList.toggle("sorted", chosen);
      if (chosen) found = item.value;
    }
    keys.set(row, found);
  }
  const sign = (better === "lower" ? -1 : 1) * (turned ? -1 : 1);
  const by_name = (a, b) => a.dataset.name.localeCompare(b.dataset.name);
  const sorted = [...rows].sort((a, b) => {
    if (!metric) return (turned ? -1 : 1) * by_name(a, b);
    const [first, second] = [keys.get(a), keys.get(b)];
    if (first === null || second === null) return (first === null) - (second === null) || by_name(a, b); // unknown last
    return sign * (first - second) || by_name(a, b);
  });
  section.append(...sorted);
}

if (tools) {
  tools.hidden = false;
  stop.addEventListener("click", end);
  filter.addEventListener("input", select);
  if (label) label.addEventListener("change", select);
  sort.addEventListener("change", arrange);
  order.addEventListener("click", () => {
    order.setAttribute("aria-pressed", order.getAttribute("aria-pressed") !== "true");
    arrange();
  });
  arrange();
  select();
}
