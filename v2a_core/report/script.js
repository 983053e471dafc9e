"use strict";
// One player at a time, made when it is wanted: a page of hundreds of soundtracks loads no media.
const find = (selector) => document.querySelector(selector);
const cards = [...document.querySelectorAll(".card")];
const [tools, all, stop, filter, label, count] = [".tools", "#all", "#stop", "#filter", "#label", "#count"].map(find);
let now = null; // {button, figure, player}
let row = []; // buttons that "play all" has yet to play

const name = (button, verb) => button.setAttribute("aria-label", button.getAttribute("aria-label").replace(/^\w+/, verb));

function end() {
  if (!now) return;
  const { button, figure, player } = now;
  now = null;
  player.pause();
  player.removeAttribute("src");
  player.load();
  player.remove();
  figure.classList.remove("playing", "used");
  figure.closest(".card").classList.remove("now");
  name(button, "Play");
  stop.disabled = true;
}

function stopAll() {
  row = [];
  end();
}

function start(button, share) {
  end();
  const figure = button.closest("figure");
  const plots = figure.querySelector(".plots");
  const player = document.createElement(button.dataset.video ? "video" : "audio");
  // A soundtrack of a span begins in the middle of its video.
  const from = Number(button.dataset.start || 0);
  const length = () => (from ? Number(button.dataset.length) : player.duration);
  const seek = (to) => { player.currentTime = from + to * length(); };
  const mine = { button, figure, player, seek };
  now = mine;
  player.playsInline = true;
  player.src = button.dataset.video || button.dataset.audio;
  const show = () => {
    if (now !== mine) return;
    const at = (player.currentTime - from) / length();
    if (plots && player.duration) plots.style.setProperty("--at", at);
    if (from && at >= 1) { next(); return; }
    if (!player.paused) requestAnimationFrame(show);
  };
  player.addEventListener("play", () => { figure.classList.add("playing", "used"); name(button, "Pause"); show(); });
  player.addEventListener("pause", () => { if (now === mine) { figure.classList.remove("playing"); name(button, "Play"); } });
  player.addEventListener("seeked", show);
  player.addEventListener("loadedmetadata", () => { if (share || from) seek(share || 0); });
  player.addEventListener("ended", next);
  player.addEventListener("error", () => { if (now === mine) next(); });
  button.before(player);
  figure.closest(".card").classList.add("now");
  stop.disabled = false;
  player.play().catch(() => undefined);
}

function next() {
  end();
  const button = row.shift();
  if (!button) return;
  button.closest(".card").scrollIntoView({ block: "nearest" });
  start(button);
}

function toggle(button) {
  if (!now || now.button !== button) {
    row = row.includes(button) ? row.slice(row.indexOf(button) + 1) : [];
    start(button);
  } else if (now.player.paused) now.player.play().catch(() => undefined);
  else now.player.pause();
}

document.addEventListener("click", (event) => {
  const figure = event.target.closest("figure");
  const button = figure && figure.querySelector(".play");
  if (!button || !event.target.closest(".plots, .screen")) return;
  const plots = event.target.closest(".plots");
  if (!plots) { toggle(button); return; }
  const box = plots.getBoundingClientRect();
  const share = (event.clientX - box.left) / box.width;
  if (now && now.button === button && now.player.duration) {
    now.seek(share);
    now.player.play().catch(() => undefined);
  } else start(button, share);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { stopAll(); return; }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && now && event.target === now.button) { now.player.currentTime += step; event.preventDefault(); }
});

// What a card is found by: its label or name, caption and name; not its scores.
const texts = new Map(cards.map((card) => [card, [...card.querySelectorAll("h3, .caption, .name")].map((part) => part.textContent).join(" ").toLowerCase()]));
const shown = () => cards.filter((card) => !card.hidden);

function select() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const other = label && label.value && card.dataset.label !== label.value;
    card.hidden = Boolean(other) || !words.every((word) => texts.get(card).includes(word));
  }
  if (now && now.figure.closest(".card").hidden) stopAll();
  if (tools.getBoundingClientRect().top <= 0) find("#soundtracks").scrollIntoView(); // the first that fits is in sight
  count.textContent = `${shown().length} of ${cards.length} shown`;
}

if (tools) {
  tools.hidden = false;
  all.addEventListener("click", () => {
    row = shown().map((card) => card.querySelector(".made .play")).filter(Boolean);
    next();
  });
  stop.addEventListener("click", stopAll);
  filter.addEventListener("input", select);
  if (label) label.addEventListener("change", select);
  if (filter.value || (label && label.value)) select(); // what a browser keeps over a reload
}
