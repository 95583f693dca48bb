// Super-resolution in a browser: pictures and video frames, in workers, without a server. fsrcnn.d.ts has the types.

import { FsrcnnError } from "./core.js";

export { FsrcnnError };

export const MODELS = [
  ...["fsrcnn", "fsrcnn-s"].flatMap((name) => [name, `${name}-graphics`]),
  ...[1, 2, 3].map((level) => `fsrcnn-denoise${level}`),
];

const MOST_WORKERS = 8;
const LEAST_ROWS = 64; // of a part: rows around it are computed twice

/** Workers with a core each, and the models that they have opened. */
export class Upscaler {
  #workers = [];
  #files = new Map(); // promises of the bytes of model files, by name
  #next = 0;
  #waiting = new Map(); // what answers come back to, by id

  /** Loads the module and starts the workers. */
  static async load({ base = new URL("./", import.meta.url), workers, models = [] } = {}) {
    const upscaler = new Upscaler();
    upscaler.base = base;
    const file = await fetched(new URL("fsrcnn.wasm", base));
    const module = await WebAssembly.compile(file);
    const count = workers ?? Math.min(MOST_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1);
    const started = [];
    for (let i = 0; i < count; ++i) {
      const worker = new Worker(new URL("worker.js", base), { type: "module" });
      worker.addEventListener("message", ({ data }) => upscaler.#answer(data));
      worker.addEventListener("error", (event) => upscaler.#fail(event.message ?? "a worker has ended"));
      upscaler.#workers.push({ worker, busy: 0, opened: new Map() });
      started.push(upscaler.#ask(upscaler.#workers[i], "start", { module }));
    }
    [upscaler.version] = await Promise.all([...started, ...models.map((name) => upscaler.#file(name))]);
    return upscaler;
  }

  get workers() {
    return this.#workers.length;
  }

  close() {
    for (const { worker } of this.#workers) worker.terminate();
    this.#fail("the upscaler is closed");
    this.#workers = [];
  }

  async upscale(image, { scale = 3, size, model = "fsrcnn", ...options } = {}) {
    if (globalThis.VideoFrame && image instanceof VideoFrame) {
      return this.#frame(image, scale, size, model, options);
    }
    const { width, height, data } = image;
    const isImageData = globalThis.ImageData !== undefined && image instanceof ImageData;
    const picture = { data, width, height, channels: isImageData ? 4 : image.channels };
    if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
      throw new FsrcnnError("image has no data of 8 bits", 1);
    }
    const goal = goalOf(picture, scale, size);
    const made = await this.#picture(picture, goal, model, options);
    if (!isImageData) return { ...goal, channels: picture.channels, data: made };
    return new ImageData(new Uint8ClampedArray(made.buffer, made.byteOffset, made.length), goal.width, goal.height);
  }

  /** In parts of whole rows where that is a whole scale: each worker makes one, and they fit together to the bit. */
  async #picture(picture, goal, model, options) {
    const { width, height, channels } = picture;
    const exact = goal.width / width;
    const isWhole = goal.width === exact * width && goal.height === exact * height && [2, 3, 4].includes(exact);
    const inParts = isWhole && (options.precision ?? "auto") !== "float32";
    const count = inParts ? Math.max(1, Math.min(this.workers, Math.floor(height / LEAST_ROWS))) : 1;
    if (count === 1) return this.#on(this.#idle(), "upscale", picture, goal, model, options);
    const made = new Uint8Array(goal.width * goal.height * channels);
    const row = width * channels;
    const workers = [...this.#workers].sort((one, other) => one.busy - other.busy).slice(0, count);
    await Promise.all(
      workers.map(async (worker, i) => {
        const [first, end] = [Math.round((i * height) / count), Math.round(((i + 1) * height) / count)];
        const reach = await this.#open(worker, model, options);
        const [top, bottom] = [Math.max(0, first - reach), Math.min(height, end + reach)];
        const part = { data: picture.data.slice(top * row, bottom * row), width, height: bottom - top, channels };
        const partGoal = { width: goal.width, height: exact * (bottom - top) };
        const rows = await this.#on(worker, "upscale", part, partGoal, model, options);
        const begin = exact * (first - top) * exact * row;
        made.set(rows.subarray(begin, begin + exact * (end - first) * exact * row), exact * first * exact * row);
      }),
    );
    return made;
  }

  /** A frame of 8-bit 4:2:0 goes in and comes out in its planes, whatever the range and matrix of its colours. */
  async #frame(frame, scale, size, model, options) {
    const rect = frame.visibleRect;
    const { width, height } = rect;
    const goal = goalOf({ width, height }, scale, size);
    const init = { timestamp: frame.timestamp, duration: frame.duration ?? undefined };
    if (frame.format !== "I420" && frame.format !== "NV12") {
      const data = new Uint8Array(4 * width * height);
      await frame.copyTo(data, { rect, format: "RGBA", layout: [{ offset: 0, stride: 4 * width }] });
      const made = await this.#picture({ data, width, height, channels: 4 }, goal, model, options);
      return new VideoFrame(made, { ...init, format: "RGBA", codedWidth: goal.width, codedHeight: goal.height });
    }
    const [across, down] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    const data = new Uint8Array(width * height + 2 * across * down);
    if (frame.format === "I420") {
      const layout = [0, width * height, width * height + across * down].map((offset, i) => ({
        offset,
        stride: i ? across : width,
      }));
      await frame.copyTo(data, { rect, layout });
    } else {
      const layout = [
        { offset: 0, stride: width },
        { offset: width * height, stride: 2 * across },
      ];
      await frame.copyTo(data, { rect, layout });
      part(data.subarray(width * height));
    }
    const made = await this.#on(this.#idle(), "upscaleYuv420", { data, width, height }, goal, model, options);
    const { colorSpace } = frame;
    return new VideoFrame(made, {
      ...init,
      colorSpace: colorSpace.toJSON?.() ?? undefined,
      format: "I420",
      codedWidth: goal.width,
      codedHeight: goal.height,
    });
  }

  async #on(worker, task, picture, size, model, options) {
    await this.#open(worker, model, options);
    return this.#ask(worker, task, { key: keyOf(model, options), picture, size });
  }

  /** Opens a model in a worker, once for the same options; gives its reach. */
  #open(worker, model, options) {
    const key = keyOf(model, options);
    if (!worker.opened.has(key)) {
      const opened = this.#file(model).then((bytes) => this.#ask(worker, "open", { key, bytes, options }));
      worker.opened.set(key, opened);
      opened.catch(() => worker.opened.delete(key));
    }
    return worker.opened.get(key);
  }

  #file(model) {
    if (!MODELS.includes(model)) {
      return Promise.reject(new FsrcnnError(`model=${model} is none of ${MODELS.join(", ")}`, 1));
    }
    if (!this.#files.has(model)) {
      const file = fetched(new URL(`weights/${model}.safetensors`, this.base));
      this.#files.set(model, file);
      file.catch(() => this.#files.delete(model));
    }
    return this.#files.get(model);
  }

  #idle() {
    return this.#workers.reduce((best, worker) => (worker.busy < best.busy ? worker : best));
  }

  #ask(worker, task, given) {
    const id = this.#next++;
    ++worker.busy;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { worker, resolve, reject });
      worker.worker.postMessage({ id, task, ...given });
    });
  }

  #answer({ id, result, error }) {
    const { worker, resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    --worker.busy;
    if (error) reject(Object.assign(new FsrcnnError(error.message, 0), { name: error.name, status: error.status }));
    else resolve(result);
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new FsrcnnError(message, 4));
    this.#waiting.clear();
  }
}

let shared; // that of `upscale`

/** Upscales a picture or a frame, by workers that are started at the first call and kept. */
export async function upscale(image, options) {
  shared ??= Upscaler.load();
  shared.catch(() => (shared = undefined));
  return (await shared).upscale(image, options);
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new FsrcnnError(`${url}: ${answer.status} ${answer.statusText}`, 4);
  return new Uint8Array(await answer.arrayBuffer());
}

function keyOf(model, options) {
  return JSON.stringify([model, ...Object.entries(options).sort()]);
}

function goalOf({ width, height }, scale, size) {
  if (size) return { width: size.width, height: size.height };
  if (!(scale > 1 && scale <= 16)) throw new FsrcnnError(`scale=${scale} is not above 1 and up to 16`, 1);
  return { width: Math.floor(width * scale + 0.5), height: Math.floor(height * scale + 0.5) };
}

/** Takes pairs of Cb and Cr apart, in place. */
function part(chroma) {
  const pairs = chroma.slice();
  const count = pairs.length / 2;
  for (let i = 0; i < count; ++i) {
    chroma[i] = pairs[2 * i];
    chroma[count + i] = pairs[2 * i + 1];
  }
}
