// PNG, read and written to the sample: canvases know only RGBA, whose colour they multiply by alpha and back.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
// What the pixels depend on, and what the result has of its own; a palette's histogram and the like are not carried on.
const KEPT = ["iCCP", "sRGB", "gAMA", "cHRM", "cICP", "pHYs", "eXIf", "tEXt", "zTXt", "iTXt", "tIME"];
const MOST_PIXELS = 1 << 28;

const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

export function isPng(bytes) {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** {width, height, channels, data} of a PNG of up to 8 bits, with its `chunks`; null of one that has 16 bits. */
export async function readPng(bytes) {
  const chunks = [...chunksOf(bytes)];
  const header = chunks.find(({ type }) => type === "IHDR")?.data;
  if (!header || header.length !== 13) throw new Error("the PNG has no header");
  const view = viewOf(header);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, kind, interlaced] = [header[8], header[9], header[12]];
  const samples = CHANNELS[kind];
  if (!samples || !width || !height || width * height > MOST_PIXELS || ![1, 2, 4, 8, 16].includes(depth)) {
    throw new Error(`the PNG is of ${width}x${height}, depth ${depth} and kind ${kind}`);
  }
  if (depth === 16) return null;
  const packed = chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data);
  const raw = await streamed(packed, new DecompressionStream("deflate"));
  const grid = new Uint8Array(width * height * samples);
  let at = 0;
  for (const [x0, y0, dx, dy] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    const [w, h] = [Math.ceil((width - x0) / dx), Math.ceil((height - y0) / dy)];
    if (w < 1 || h < 1) continue;
    const row = Math.ceil((w * samples * depth) / 8);
    if (raw.length < at + h * (row + 1)) throw new Error("the PNG is cut short");
    unfilter(raw, at, row, h, Math.max(1, (samples * depth) >> 3));
    for (let y = 0; y < h; ++y, at += row + 1) {
      for (let i = 0; i < w * samples; ++i) {
        const bit = i * depth;
        const sample = (raw[at + 1 + (bit >> 3)] >> (8 - depth - (bit & 7))) & (0xff >> (8 - depth));
        const x = x0 + Math.floor(i / samples) * dx;
        grid[((y0 + y * dy) * width + x) * samples + (i % samples)] = sample;
      }
    }
  }
  const find = (name) => chunks.find(({ type }) => type === name)?.data;
  const kept = chunks.filter(({ type }) => KEPT.includes(type));
  return { width, height, chunks: kept, ...finished(grid, kind, depth, find("PLTE"), find("tRNS")) };
}

/** Grey, RGB and alpha of samples as they are stored. */
function finished(grid, kind, depth, palette, transparent) {
  if (kind === 3) {
    if (!palette) throw new Error("the PNG has no palette");
    const channels = transparent ? 4 : 3;
    const data = new Uint8Array((grid.length * channels) | 0);
    grid.forEach((index, i) => {
      for (let c = 0; c < 3; ++c) data[i * channels + c] = palette[3 * index + c] ?? 0;
      if (transparent) data[i * channels + 3] = transparent[index] ?? 255;
    });
    return { channels, data };
  }
  const channels = CHANNELS[kind];
  if (!transparent || channels % 2 === 0) return { channels, data: scaled(grid, depth) };
  const key = Array.from({ length: channels }, (_, c) => viewOf(transparent).getUint16(2 * c));
  const full = scaled(grid, depth);
  const data = new Uint8Array((grid.length / channels) * (channels + 1));
  for (let i = 0, to = 0; i < grid.length; i += channels) {
    let same = true;
    for (let c = 0; c < channels; ++c) {
      data[to++] = full[i + c];
      same &&= grid[i + c] === key[c];
    }
    data[to++] = same ? 0 : 255;
  }
  return { channels: channels + 1, data };
}

function scaled(grid, depth) {
  if (depth === 8) return grid;
  const factor = 255 / ((1 << depth) - 1);
  return grid.map((sample) => sample * factor);
}

function unfilter(raw, at, row, height, step) {
  for (let y = 0; y < height; ++y, at += row + 1) {
    const filter = raw[at];
    for (let i = 1; i <= row; ++i) {
      const left = i > step ? raw[at + i - step] : 0;
      const up = y ? raw[at + i - row - 1] : 0;
      const corner = y && i > step ? raw[at + i - row - 1 - step] : 0;
      raw[at + i] += predicted(filter, left, up, corner);
    }
  }
}

function predicted(filter, left, up, corner) {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) throw new Error(`the PNG has a filter ${filter}`);
  const estimate = left + up - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** A PNG of samples of 8 bits, with chunks such as `readPng` gives. */
export async function writePng({ width, height, channels, data, chunks = [] }) {
  const header = new Uint8Array(13);
  const view = viewOf(header);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, { 1: 0, 2: 4, 3: 2, 4: 6 }[channels]], 8);
  const packed = await streamed([filtered(data, width * channels, channels)], new CompressionStream("deflate"));
  const early = chunks.filter(({ type }) => type !== "tIME");
  const all = [{ type: "IHDR", data: header }, ...early, { type: "IDAT", data: packed }, { type: "IEND", data: [] }];
  return joined([Uint8Array.from(SIGNATURE), ...all.map(({ type, data: content }) => chunk(type, content))]);
}

/** Rows, each by the filter whose differences are smallest. */
function filtered(data, row, step) {
  const height = data.length / row;
  const out = new Uint8Array(height * (row + 1));
  const tries = Array.from({ length: 5 }, () => new Uint8Array(row));
  for (let y = 0; y < height; ++y) {
    const at = y * row;
    const costs = [0, 0, 0, 0, 0];
    for (let i = 0; i < row; ++i) {
      const left = i >= step ? data[at + i - step] : 0;
      const up = y ? data[at + i - row] : 0;
      const corner = y && i >= step ? data[at + i - row - step] : 0;
      for (let filter = 0; filter < 5; ++filter) {
        const difference = (data[at + i] - predicted(filter, left, up, corner)) & 255;
        tries[filter][i] = difference;
        costs[filter] += difference < 128 ? difference : 256 - difference;
      }
    }
    const best = costs.indexOf(Math.min(...costs));
    out[y * (row + 1)] = best;
    out.set(tries[best], y * (row + 1) + 1);
  }
  return out;
}

export function* chunksOf(bytes) {
  if (!isPng(bytes)) throw new Error("it is no PNG");
  const view = viewOf(bytes);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (length > bytes.length - at - 12) throw new Error("the PNG is cut short");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { type, data: bytes.subarray(at + 8, at + 8 + length) };
    if (type === "IEND") return;
    at += length + 12;
  }
}

function chunk(type, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = viewOf(bytes);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; ++i) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(bytes.length - 4, crc(bytes.subarray(4, bytes.length - 4)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; ++i) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

export async function deflated(bytes) {
  return streamed([bytes], new CompressionStream("deflate"));
}

async function streamed(parts, stream) {
  return new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(stream)).arrayBuffer());
}

export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
