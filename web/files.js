// Picture files: their samples, what travels with them, and which weights they get.

import { deflated, isPng, joined, readPng } from "./png.js";

const latin = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const startsWith = (bytes, text) => latin(text).every((byte, i) => bytes[i] === byte);

/** Reads a picture of any format that the browser knows: {width, height, channels, data, chunks, quality, reduced}.
 *
 * `chunks`: its metadata as those of a PNG. `quality`: of a JPEG, 0 to 100. `reduced`: whether it had more than 8 bits.
 */
export async function readPicture(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (isPng(bytes)) {
    const picture = await readPng(bytes);
    if (picture) return picture;
  }
  const meta = bytes[0] === 0xff && bytes[1] === 0xd8 ? await jpegMetadata(bytes) : { chunks: [] };
  // Colours as the file has them: the profile travels with the result.
  const settings = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
  const bitmap = await createImageBitmap(blob, settings);
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, ...withoutNeedlessChannels(data), ...meta, reduced: isPng(bytes) };
}

/** RGB where alpha is 255 everywhere, grey where all three are equal: as the command line has such files. */
function withoutNeedlessChannels(data) {
  let [opaque, grey] = [true, true];
  for (let i = 0; i < data.length; i += 4) {
    opaque &&= data[i + 3] === 255;
    grey &&= data[i] === data[i + 1] && data[i] === data[i + 2];
  }
  const kept = [...(grey ? [0] : [0, 1, 2]), ...(opaque ? [] : [3])];
  if (kept.length === 4) return { channels: 4, data };
  const out = new Uint8Array((data.length / 4) * kept.length);
  for (let i = 0, to = 0; i < data.length; i += 4) for (const c of kept) out[to++] = data[i + c];
  return { channels: kept.length, data: out };
}

async function jpegMetadata(bytes) {
  const chunks = [];
  const profile = [];
  let quality;
  for (const { marker, data } of jpegSegments(bytes)) {
    if (marker === 0xe1 && startsWith(data, "Exif\0\0")) {
      chunks.push({ type: "eXIf", data: upright(data.slice(6)) });
    } else if (marker === 0xe1 && startsWith(data, "http://ns.adobe.com/xap/1.0/\0")) {
      const xmp = data.subarray(29);
      chunks.push({ type: "iTXt", data: joined([latin("XML:com.adobe.xmp\0\0\0\0\0"), xmp]) });
    } else if (marker === 0xe2 && startsWith(data, "ICC_PROFILE\0")) {
      profile[data[12]] = data.subarray(14);
    } else if (marker === 0xdb && quality === undefined) {
      quality = jpegQuality(data);
    }
  }
  const parts = profile.filter(Boolean);
  if (parts.length) {
    chunks.unshift({ type: "iCCP", data: joined([latin("ICC profile\0\0"), await deflated(joined(parts))]) });
  }
  return { chunks, quality };
}

function* jpegSegments(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    if (marker === 0xda) return;
    const length = view.getUint16(at + 2);
    yield { marker, data: bytes.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** EXIF with the orientation that the pixels now have. */
function upright(exif) {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  if (exif.length < 14) return exif;
  const little = exif[0] === 0x49;
  const directory = view.getUint32(4, little);
  const count = directory + 2 <= exif.length ? view.getUint16(directory, little) : 0;
  for (let i = 0; i < count && directory + 14 + 12 * i <= exif.length; ++i) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, little) === 0x0112) view.setUint16(entry + 8, 1, little);
  }
  return exif;
}

// The luma table of the JPEG standard in the order of a file, that the Independent JPEG Group's quality 50 stands for.
const STANDARD_LUMA = [
  16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
  60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
  121, 112, 100, 120, 92, 101, 103, 99,
];
// Level 0 of denoising is for this quality and above, level 1 for the next, level 2 for the last.
const QUALITIES = [96, 82, 55];

/** On the scale of libjpeg, of the first table of a segment: the quality at which its steps are as large on the mean. */
function jpegQuality(data) {
  const wide = data[0] >> 4;
  let sum = 0;
  for (let i = 0; i < 64; ++i) {
    const step = wide ? data[1 + 2 * i] * 256 + data[2 + 2 * i] : data[1 + i];
    sum += step / STANDARD_LUMA[i];
  }
  const percent = (100 * sum) / 64;
  return percent > 100 ? 5000 / percent : (200 - percent) / 2;
}

/** The weights that the command line takes for a picture, unless it is told. */
export function chooseModel(network, picture) {
  const level = picture.quality === undefined ? 0 : QUALITIES.filter((q) => Math.round(picture.quality) < q).length;
  if (level && network === "fsrcnn") return `${network}-denoise${level}`;
  return isGraphics(picture) ? `${network}-graphics` : network;
}

// As python/fsrcnn_rt/engine/content.py has it.
const [THRESHOLD, CONTRAST, JUMP, TILE, MOST_TILES] = [0.28, Math.fround(24 / 255), Math.fround(1 / 3), 9, 24];
const LUMA = [0.299, 0.587, 0.114].map(Math.fround);
const f = Math.fround;

/** Whether a picture is drawn, and no photograph: of neighbouring pixels most are equal, or a jump apart. */
export function isGraphics({ width, height, channels, data }) {
  const colours = channels - (channels % 2 === 0 ? 1 : 0);
  let [found, counted] = [0, 0];
  for (const top of places(height)) {
    for (const left of places(width)) {
      const [w, h] = [Math.min(TILE, width), Math.min(TILE, height)];
      const samples = new Float32Array(w * h * colours);
      const luma = new Float32Array(w * h);
      for (let i = 0; i < w * h; ++i) {
        const at = ((top + Math.floor(i / w)) * width + left + (i % w)) * channels;
        for (let c = 0; c < colours; ++c) {
          let sample = f(f(data[at + c] / 255) - 0.5);
          if (colours < channels) sample = f(sample * f(f(f(data[at + colours] / 255) - 0.5) + 0.5));
          samples[i * colours + c] = sample;
        }
        const [r, g, b] = samples.subarray(i * colours, (i + 1) * colours);
        luma[i] = colours === 1 ? r : f(f(f(LUMA[0] * r) + f(LUMA[1] * g)) + f(LUMA[2] * b));
      }
      const contrast = f(Math.max(...luma) - Math.min(...luma));
      if (contrast < CONTRAST) continue;
      const jump = f(JUMP * contrast);
      const compare = (one, other) => {
        let [equal, clipped] = [true, true];
        for (let c = 0; c < colours; ++c) {
          const sample = samples[one * colours + c];
          equal &&= sample === samples[other * colours + c];
          clipped &&= Math.abs(sample) === 0.5;
        }
        if (equal && clipped) return;
        ++counted;
        if (equal || Math.abs(f(luma[one] - luma[other])) >= jump) ++found;
      };
      for (let y = 0; y < h; ++y) {
        for (let x = 0; x < w; ++x) {
          if (y) compare(y * w + x, (y - 1) * w + x);
          if (x) compare(y * w + x, y * w + x - 1);
        }
      }
    }
  }
  return counted > 0 && found / counted > THRESHOLD;
}

function places(length) {
  const count = Math.min(MOST_TILES, Math.ceil(length / (TILE - 1)));
  const last = Math.max(0, length - TILE);
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.floor((i * last) / (count - 1))));
}
