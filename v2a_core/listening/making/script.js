"use strict";
// A listening test in one page: what is asked comes as data, what is answered stays in this browser until it is saved.
const main = document.querySelector("main");
const test = JSON.parse(main.dataset.test);
const find = (id) => document.getElementById(id);
const STORE = `v2a-listening-${test.test}`;
const FORMAT = "v2a-listening-result";
const CHOICES = [1, 2, 3];

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- what is kept ----
function fresh() {
  const wanted = Number((/^#form=(\d+)$/.exec(location.hash) || [])[1]);
  const drawn = [...crypto.getRandomValues(new Uint32Array(5))];
  const form = wanted >= 1 && wanted <= test.forms.length ? wanted : 1 + (drawn[0] % test.forms.length);
  const session = drawn.slice(1).map((part) => part.toString(16).padStart(8, "0")).join("");
  return { session, form, listener: "", device: "", agreed: false, screen: 0, headphones: [], takes: {}, seconds: {}, started: "", finished: "", stopped: 0 };
}

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(STORE));
    return found && found.session && test.forms[found.form - 1] ? found : null;
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
  } catch {
    find("forgetful").hidden = false;
  }
}

let state = kept() || fresh();
let screens = [];

// ---- screens ----
function plan() {
  const practice = test.practice.map((item) => ({ kind: "item", item, order: item.stimuli.map((_, place) => place), practice: true, repeat: false }));
  const form = test.forms[state.form - 1].map(([number, order, repeat]) => ({ kind: "item", item: test.items[number], order, practice: false, repeat: Boolean(repeat) }));
  return [{ kind: "welcome" }, ...(test.headphones.length ? [{ kind: "headphones" }] : []), ...practice, ...form, { kind: "end" }];
}

const counted = () => screens.filter((screen) => screen.kind === "item" && !screen.practice);
const letter = (place) => String.fromCharCode(65 + place);
const keyOf = (screen, stimulus) => `${stimulus.id}${screen.repeat ? "+" : ""}`;

const untouched = () => ({ ratings: {}, plays: 0, played_s: 0, failed: false });
const takeOf = (screen, stimulus) => state.takes[keyOf(screen, stimulus)] || untouched();

const stimuliOf = (screen) => screen.order.map((place) => screen.item.stimuli[place]);

// What is still to be done on a screen, as a sentence; nothing when all is done.
function missing(screen) {
  if (screen.kind === "welcome") return state.agreed ? "" : "Please say that you want to take part.";
  if (screen.kind === "headphones") {
    if (!state.device) return "Please say what you listen through.";
    const open = test.headphones.findIndex((_, trial) => !state.headphones[trial]);
    return open < 0 ? "" : `Please say which tone was the quietest in trial ${open + 1}.`;
  }
  if (screen.kind !== "item") return "";
  const takes = stimuliOf(screen).map((stimulus) => takeOf(screen, stimulus));
  const names = (choose) => takes.map((take, place) => (!take.failed && choose(take) ? letter(place) : "")).filter(Boolean).join(", ");
  const unheard = names((take) => !take.plays);
  if (unheard) return `Please listen to the end of ${unheard}.`;
  const unrated = names((take) => test.questions.some((question) => !take.ratings[question.name]));
  return unrated ? `Please answer all questions about ${unrated}.` : "";
}

let since = Date.now();

function leave() {
  stopAll();
  const now = Date.now();
  state.seconds[state.screen] = Math.round(((state.seconds[state.screen] || 0) + (now - since) / 1000) * 10) / 10;
  since = now;
}

function show(number) {
  state.screen = Math.max(0, Math.min(number, screens.length - 1));
  const screen = screens[state.screen];
  for (const section of main.querySelectorAll("section")) section.hidden = section.id !== screen.kind;
  if (screen.kind === "item") showItem(screen);
  if (screen.kind === "end") showEnd();
  const items = counted();
  const at = items.indexOf(screen);
  find("where").textContent = at >= 0 ? `${at + 1} of ${items.length}` : screen.practice ? "practice" : "";
  find("progress").value = screen.kind === "end" ? items.filter(rated).length / items.length : state.screen / (screens.length - 1);
  find("back").hidden = state.screen === 0;
  find("next").hidden = screen.kind === "end";
  find("next").textContent = state.screen === 0 ? "Begin" : "Next";
  find("stop").hidden = screen.kind !== "item";
  find("message").textContent = "";
  keep();
}

function go(number) {
  leave();
  show(number);
  scrollTo(0, 0);
  find(screens[state.screen].kind).querySelector("h2").focus();
}

// ---- sounds: one at a time, from the start ----
const players = () => [...document.querySelectorAll("video, audio")];

function stop(player) {
  player.pause();
  if (player.readyState && player.currentTime) player.currentTime = 0; // no seek that a start would have to wait for
}

const stopAll = () => players().forEach(stop);

function toggle(player) {
  const wasPlaying = !player.paused;
  stopAll();
  if (!wasPlaying) player.play().catch(() => undefined);
}

function button(player, name, follow) {
  const node = make("button", { type: "button", className: "play", textContent: `Play ${name}` });
  node.addEventListener("click", () => toggle(player));
  player.addEventListener("play", () => { node.textContent = `Stop ${name}`; follow(true); });
  player.addEventListener("pause", () => { node.textContent = `Play ${name}`; follow(false); });
  return node;
}

// ---- an item ----
function showItem(screen) {
  const items = counted();
  const number = items.indexOf(screen) + 1;
  find("item").querySelector("h2").textContent = screen.practice ? "Practice" : `Item ${number} of ${items.length}`;
  const same = test.films ? "The picture is the same each time, the sound is another. " : "";
  const counts = screen.practice ? " These answers do not count." : "";
  find("hint").textContent = `${same}Listen to each one to its end, as often as you like, and compare.${counts}`;
  find("takes").replaceChildren(...stimuliOf(screen).map((stimulus, place) => card(screen, stimulus, letter(place))));
}

function card(screen, stimulus, name) {
  const take = (state.takes[keyOf(screen, stimulus)] ||= untouched());
  const player = make(test.films ? "video" : "audio", { src: stimulus.file, preload: "auto", playsInline: true, disablePictureInPicture: true });
  const heard = make("span", { className: "heard" });
  const bar = make("progress", { max: 1, value: 0 });
  bar.setAttribute("aria-hidden", "true");
  player.setAttribute("aria-label", `Sound ${name}`);
  const told = () => {
    heard.classList.toggle("yes", take.plays > 0);
    heard.textContent = take.plays ? "heard" : "not heard yet";
  };
  const article = make("article", { className: "take" });
  article.setAttribute("aria-label", `Sound ${name}`);
  let reached = 0; // seconds of this playing
  const play = button(player, name, (on) => {
    article.classList.toggle("now", on);
    if (!on) take.played_s = Math.round((take.played_s + reached) * 100) / 100;
    reached = 0;
    keep();
  });
  player.addEventListener("click", () => toggle(player));
  player.addEventListener("timeupdate", () => {
    if (!player.paused || player.ended) reached = Math.max(reached, player.currentTime);
    bar.value = player.duration ? player.currentTime / player.duration : 0;
  });
  player.addEventListener("ended", () => { take.plays += 1; told(); keep(); });
  player.addEventListener("error", () => {
    take.failed = true;
    play.replaceWith(make("p", { className: "broken", textContent: `Sound ${name} cannot be played here. You can go on without it; please say so when you send your answers.` }));
    keep();
  });
  told();
  article.append(make("div", { className: "head" }, make("h3", { textContent: `Sound ${name}` }), heard), player, play, bar);
  article.append(...test.questions.map((question) => rating(take, stimulus, question, name)));
  return article;
}

function rating(take, stimulus, question, name) {
  const [topic, ...rest] = question.text.split(":");
  const legend = make("legend", {}, make("span", { className: "unseen", textContent: `Sound ${name}, ` }), make("b", { textContent: topic }), `:${rest.join(":")}`);
  const points = test.labels.map((label, place) => {
    const input = make("input", { type: "radio", name: `${question.name}-${stimulus.id}`, value: place + 1, checked: take.ratings[question.name] === place + 1 });
    input.addEventListener("change", () => { take.ratings[question.name] = place + 1; find("message").textContent = ""; keep(); });
    return make("label", {}, input, make("b", { textContent: place + 1 }), make("span", { textContent: label }));
  });
  return make("fieldset", {}, legend, make("div", { className: "points" }, ...points));
}

// ---- headphones ----
function showTrials() {
  find("trials").replaceChildren(...test.headphones.map((file, trial) => {
    const player = make("audio", { src: file, preload: "none" });
    const play = button(player, `trial ${trial + 1}`, () => undefined);
    const points = CHOICES.map((choice) => {
      const input = make("input", { type: "radio", name: `trial-${trial}`, value: choice, checked: state.headphones[trial] === choice });
      input.addEventListener("change", () => { state.headphones[trial] = choice; find("message").textContent = ""; keep(); });
      return make("label", { className: "choice" }, input, ["first", "second", "third"][choice - 1]);
    });
    const legend = make("legend", {}, make("span", { className: "unseen", textContent: `Trial ${trial + 1}: ` }), "The quietest tone was the");
    return make("li", {}, play, player, make("fieldset", {}, legend, make("div", { className: "row" }, ...points)));
  }));
}

// ---- the end ----
const rated = (screen) => stimuliOf(screen).every((stimulus) => test.questions.every((question) => takeOf(screen, stimulus).ratings[question.name]));

function result() {
  const answers = [];
  screens.forEach((screen, number) => {
    if (screen.kind !== "item") return;
    stimuliOf(screen).forEach((stimulus, place) => {
      const take = state.takes[keyOf(screen, stimulus)];
      if (!take) return;
      const { ratings, plays, played_s, failed } = take;
      answers.push({ item: screen.item.id, stimulus: stimulus.id, position: place + 1, practice: screen.practice, repeat: screen.repeat, ratings, plays, played_s, failed, screen_s: state.seconds[number] || 0 });
    });
  });
  const complete = counted().every((screen) => !missing(screen));
  const { session, form, listener, device, headphones, started, finished } = state;
  return { format: FORMAT, version: 1, test: test.test, session, form, listener, consent: state.agreed, device, headphones: test.headphones.map((_, trial) => headphones[trial] || null), complete, started, finished, answers };
}

function showEnd() {
  const items = counted();
  const done = items.filter(rated).length;
  const all = done === items.length;
  if (!state.finished) state.finished = new Date().toISOString();
  find("end").querySelector("h2").textContent = all ? "Thank you" : "You stopped before the end";
  find("told").textContent = all
    ? `You rated all ${items.length} items.`
    : `You rated ${done} of ${items.length} items. You can go back and go on, or save what there is.`;
  find("text").value = JSON.stringify(result());
}

function save() {
  const link = make("a", {
    href: URL.createObjectURL(new Blob([JSON.stringify(result(), null, 1)], { type: "application/json" })),
    download: `listening-${test.test}-${state.session.slice(0, 8)}.json`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  find("message").textContent = `Saved as ${link.download}`;
}

// ---- all together ----
function fill() {
  screens = plan();
  find("listener").value = state.listener;
  find("agree").checked = state.agreed;
  for (const input of document.querySelectorAll("input[name=device]")) input.checked = input.value === state.device;
  showTrials();
  since = Date.now();
  show(state.screen);
}

find("listener").addEventListener("input", (event) => { state.listener = event.target.value.trim(); keep(); });
find("agree").addEventListener("change", (event) => { state.agreed = event.target.checked; find("message").textContent = ""; keep(); });
for (const input of document.querySelectorAll("input[name=device]")) {
  input.addEventListener("change", () => { state.device = input.value; find("message").textContent = ""; keep(); });
}
find("next").addEventListener("click", () => {
  const problem = missing(screens[state.screen]);
  find("message").textContent = problem;
  if (problem) return;
  if (!state.started) state.started = new Date().toISOString();
  go(state.screen + 1);
});
find("back").addEventListener("click", () => {
  const to = screens[state.screen].kind === "end" && state.stopped ? state.stopped : state.screen - 1;
  state.stopped = 0;
  state.finished = "";
  go(to);
});
find("stop").addEventListener("click", () => {
  state.stopped = state.screen;
  go(screens.length - 1);
});
find("save").addEventListener("click", save);
find("anew").addEventListener("click", () => {
  try { localStorage.removeItem(STORE); } catch { /* nothing was kept */ }
  const next = (state.form % test.forms.length) + 1; // the next person gets another order
  state = { ...fresh(), form: next };
  fill();
  scrollTo(0, 0);
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stopAll(); });
addEventListener("pagehide", () => { leave(); keep(); });
fill();
