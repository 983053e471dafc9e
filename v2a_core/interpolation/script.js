
"use strict";
const sounds = [...document.querySelectorAll(".step audio")];
const mark = (index) => document.querySelectorAll(".step").forEach((step, place) => step.classList.toggle("now", place === index));
sounds.forEach((sound, index) => {
  sound.addEventListener("play", () => {
    sounds.forEach((other) => { if (other !== sound) { other.pause(); } });
    mark(index);
  });
  sound.addEventListener("ended", () => {
    mark(-1);
    if (document.body.dataset.row === "yes" && sounds[index + 1]) { sounds[index + 1].currentTime = 0; sounds[index + 1].play(); }
  });
});
document.querySelector("#row").addEventListener("click", () => {
  document.body.dataset.row = "yes";
  sounds[0].currentTime = 0;
  sounds[0].play();
});
