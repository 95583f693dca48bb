// The page: a picture or a video comes in, and is seen before and after.

import { chooseModel, readPicture } from "./files.js";
import { MODELS, Upscaler } from "./fsrcnn.js";
import { writePng } from "./png.js";

const find = (selector) => document.querySelector(selector);
const [form, drop, file, figure, stage] = ["#settings", "#drop", "#file", "figure", ".stage"].map(find);
const [before, after, divider] = [".before", ".after", ".divider"].map(find);
const [title, caption, status] = ["h2", "figcaption", "#status"].map(find);
const [play, zoom, save] = ["#play", "#zoom", "#save"].map(find);

let split = 0.5; // where the divider is, as a part of the stage
let shown = null; // {name, picture} or {name, video}
let result = null; // of a picture
let turn = 0; // of what was asked for last: whoever is overtaken stops

const loaded = Upscaler.load({ models: MODELS });

const settings = () => ({ scale: Number(form.elements.scale.value), model: form.elements.model.value });

function tell(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

// ---- the stage ------------------------------------------------------------------------------------------------------

function draw() {
  const room = figure.querySelector(".bar").clientWidth;
  const [width, height] = [after.width, after.height];
  const isWhole = zoom.getAttribute("aria-pressed") === "true";
  const factor = isWhole ? 1 / devicePixelRatio : Math.min(1, room / width, Math.max(240, 0.8 * innerHeight) / height);
  stage.style.setProperty("--w", `${width * factor}px`);
  stage.style.setProperty("--h", `${height * factor}px`);
  stage.style.setProperty("--split", `${100 * split}%`);
  divider.setAttribute("aria-valuenow", Math.round(100 * split));
  divider.setAttribute("aria-valuetext", `${Math.round(100 * split)} % before`);
}

function moveDivider(to) {
  split = Math.min(1, Math.max(0, to));
  draw();
}

stage.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stage.setPointerCapture(event.pointerId);
  divider.focus({ preventScroll: true });
  follow(event);
});
function follow(event) {
  if (!stage.hasPointerCapture(event.pointerId)) return;
  const box = stage.getBoundingClientRect();
  moveDivider((event.clientX - box.left) / box.width);
}
stage.addEventListener("pointermove", follow);
divider.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -0.01, ArrowRight: 0.01, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
  moveDivider(split + steps[event.key]);
  event.preventDefault();
});
zoom.addEventListener("click", () => {
  zoom.setAttribute("aria-pressed", zoom.getAttribute("aria-pressed") !== "true");
  draw();
});
addEventListener("resize", draw);

// ---- pictures -------------------------------------------------------------------------------------------------------

function toImageData({ width, height, channels, data }) {
  const image = new ImageData(width, height);
  const [hasColour, hasAlpha] = [channels > 2, channels % 2 === 0];
  for (let i = 0, to = 0; i < data.length; i += channels) {
    image.data[to++] = data[i];
    image.data[to++] = data[hasColour ? i + 1 : i];
    image.data[to++] = data[hasColour ? i + 2 : i];
    image.data[to++] = hasAlpha ? data[i + channels - 1] : 255;
  }
  return image;
}

async function showPicture() {
  const mine = ++turn;
  const { picture, name } = shown;
  const { scale, model } = settings();
  const chosen = model === "auto" ? chooseModel("fsrcnn", picture) : model;
  const [width, height] = [scale * picture.width, scale * picture.height];
  title.textContent = name;
  caption.textContent = "";
  [save.disabled, result] = [true, null];
  stage.classList.add("busy");
  stage.classList.toggle("alpha", picture.channels % 2 === 0);
  [before.width, before.height, after.width, after.height] = [width, height, width, height];
  const small = new OffscreenCanvas(picture.width, picture.height);
  small.getContext("2d").putImageData(toImageData(picture), 0, 0);
  const context = before.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
  figure.hidden = false;
  draw();
  tell(`${name}: at work …`);
  const began = performance.now();
  const made = await (await loaded).upscale(picture, { scale, model: chosen });
  if (mine !== turn) return;
  const seconds = (performance.now() - began) / 1000;
  after.getContext("2d").putImageData(toImageData(made), 0, 0);
  stage.classList.remove("busy");
  result = { ...made, chunks: picture.chunks, name: `${name.replace(/\.[^.]*$/, "")}_x${scale}.png` };
  save.disabled = false;
  const reduced = picture.reduced ? "; of its 16 bits 8 were taken" : "";
  caption.textContent = `${picture.width}×${picture.height} to ${width}×${height} by ${chosen}${reduced}`;
  tell(`Done in ${seconds.toFixed(2)} s.`);
}

save.addEventListener("click", async () => {
  if (!result) return;
  const url = URL.createObjectURL(new Blob([await writePng(result)], { type: "image/png" }));
  Object.assign(document.createElement("a"), { href: url, download: result.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
});

// ---- video ----------------------------------------------------------------------------------------------------------

async function openVideo(blob, name) {
  const video = document.createElement("video");
  Object.assign(video, { src: URL.createObjectURL(blob), muted: true, loop: true, playsInline: true, preload: "auto" });
  await new Promise((resolve, reject) => {
    video.addEventListener("loadeddata", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("the browser cannot play this video")), { once: true });
  });
  return { name, video };
}

/** The frame that the video is at, and what it becomes; whoever asks closes both. */
async function enlargedFrame(video) {
  const { scale, model } = settings();
  const chosen = model === "auto" ? "fsrcnn-s" : model;
  const frame = new VideoFrame(video, { timestamp: Math.round(1e6 * video.currentTime) });
  try {
    return { frame, made: await (await loaded).upscale(frame, { scale, model: chosen }), chosen };
  } catch (error) {
    frame.close();
    throw error;
  }
}

function drawFrame({ frame, made, chosen }) {
  const [width, height] = [made.codedWidth, made.codedHeight];
  if (after.width !== width || after.height !== height) {
    [before.width, before.height, after.width, after.height] = [width, height, width, height];
    draw();
  }
  before.getContext("2d").drawImage(frame, 0, 0, width, height);
  after.getContext("2d").drawImage(made, 0, 0);
  caption.textContent = `${frame.displayWidth}×${frame.displayHeight} to ${width}×${height} by ${chosen}`;
}

const nextFrame = (video) => new Promise((resolve) => video.requestVideoFrameCallback(resolve));
const nextRefresh = () => new Promise((resolve) => requestAnimationFrame(resolve));

async function showVideo() {
  const mine = ++turn;
  const { video, name } = shown;
  title.textContent = name;
  figure.hidden = false;
  stage.classList.remove("busy", "alpha");
  let [count, since] = [0, performance.now()];
  tell("");
  let coming = nextFrame(video);
  let making = enlargedFrame(video);
  for (let now; (now = await making); ) {
    // The next frame is computed while this one is drawn.
    making = undefined;
    if (mine === turn && !video.paused) {
      making = coming.then(() => {
        if (mine !== turn) return undefined;
        coming = nextFrame(video);
        return enlargedFrame(video);
      });
      making.catch(() => {}); // until it is its turn
    }
    await nextRefresh();
    try {
      if (mine === turn) drawFrame(now);
    } finally {
      now.frame.close();
      now.made.close();
    }
    ++count;
    const time = performance.now();
    if (making && time - since >= 1000) {
      tell(`${((1000 * count) / (time - since)).toFixed(1)} frames per second`);
      [count, since] = [0, time];
    }
  }
}

play.addEventListener("click", async () => {
  const { video } = shown;
  if (video.paused) await video.play();
  else video.pause();
  play.textContent = video.paused ? "Play" : "Pause";
  guarded(showVideo);
});

// ---- what comes in --------------------------------------------------------------------------------------------------

async function guarded(task) {
  try {
    await task();
  } catch (error) {
    tell(error.message, true);
  }
}

const show = () => guarded(shown?.video ? showVideo : showPicture);

function open(blob, name = "picture") {
  return guarded(async () => {
    tell(`${name}: reading …`);
    shown?.video?.pause();
    if (shown?.video) URL.revokeObjectURL(shown.video.src);
    const isVideo = blob.type.startsWith("video/");
    if (isVideo && !window.VideoFrame) throw new Error("this browser gives no frames of a video");
    shown = isVideo ? await openVideo(blob, name) : { name, picture: await readPicture(blob) };
    [play.hidden, save.hidden] = [!isVideo, isVideo];
    play.textContent = "Play";
    drop.classList.remove("empty");
    await show();
  });
}

file.addEventListener("change", () => {
  if (file.files[0]) open(file.files[0], file.files[0].name);
});
form.addEventListener("change", () => shown && show());
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [dropped] = event.dataTransfer.files;
  if (dropped) open(dropped, dropped.name);
});
addEventListener("paste", (event) => {
  const [pasted] = event.clipboardData.files;
  if (pasted) open(pasted, pasted.name);
});
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, button, input")) return;
  if (["2", "3", "4"].includes(event.key)) {
    form.elements.scale.value = event.key;
    if (shown) show();
  } else if (event.key === " " && !play.hidden) play.click();
  else if (event.key.toLowerCase() === "s") save.click();
  else return;
  event.preventDefault();
});

guarded(async () => {
  const upscaler = await loaded;
  find("#version").textContent = `fsrcnn-rt ${upscaler.version}, ${upscaler.workers} threads.`;
  document.documentElement.dataset.ready = "";
  tell("");
});
