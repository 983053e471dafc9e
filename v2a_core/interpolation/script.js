
"use strict";
const sounds = [...document.querySelectorAll(".step audio")];
const [all, stop] = ["#row", "#stop"].map((selector) => document.querySelector(selector));
let inARow = false;

function mark(index) {
  document.querySelectorAll(".step").forEach((step, place) => step.classList.toggle("now", place === index));
  stop.disabled = index < 0;
}

function stopAll() {
  inARow = false;
  sounds.forEach((sound) => { sound.pause(); sound.currentTime = 0; });
  mark(-1);
}

sounds.forEach((sound, index) => {
  sound.addEventListener("play", () => {
    sounds.forEach((other) => { if (other !== sound) { other.pause(); } });
    mark(index);
  });
  sound.addEventListener("ended", () => {
    mark(-1);
    const next = inARow && sounds[index + 1];
    if (next) { next.currentTime = 0; next.play(); } else { inARow = false; }
  });
});
all.addEventListener("click", () => { stopAll(); inARow = true; sounds[0].play(); });
stop.addEventListener("click", stopAll);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stopAll(); });
