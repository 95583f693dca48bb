// The core as a WebAssembly module, behind the C API of src/fsrcnn_cpp/fsrcnn.h. Runs in a worker, on a page and in
// Node; knows of bytes alone.

const STATUS = ["", "a bad argument", "a bad model", "no memory", "a failure"];
const PRECISIONS = { auto: 0, float32: 1, int16: 2 };
const COLOURS = { guided: 0, bicubic: 1, rgb: 2 };
const LOCATIONS = { left: 0, center: 1, topleft: 2 };

/** What the core has refused; its message names the argument and the value. */
export class FsrcnnError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "FsrcnnError";
    this.status = STATUS[status];
  }
}

// What a module of emscripten asks of a system: nothing that this one needs is there.
function system(instance) {
  const refuse = () => 52; // ENOSYS
  const memory = () => new DataView(instance().exports.memory.buffer);
  const none = (count, size) => {
    memory().setUint32(count, 0, true);
    memory().setUint32(size, 0, true);
    return 0;
  };
  const known = {
    proc_exit: (code) => {
      throw new Error(`the module has ended with ${code}`);
    },
    environ_sizes_get: none,
    environ_get: () => 0,
    emscripten_notify_memory_growth: () => {},
    clock_time_get: (clock, precision, at) => {
      memory().setBigUint64(at, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
  };
  return new Proxy(known, { get: (all, name) => all[name] ?? refuse });
}

/** One instance of the module: its memory, and what is open in it. Calls run on the calling thread. */
export class Core {
  /** @param {WebAssembly.Module} module */
  static async start(module) {
    const core = new Core();
    const environment = system(() => core.instance);
    const imports = Object.fromEntries(
      WebAssembly.Module.imports(module).map(({ module: name }) => [name, environment]),
    );
    core.instance = await WebAssembly.instantiate(module, imports);
    core.instance.exports._initialize?.();
    return core;
  }

  get version() {
    return this.#text(this.instance.exports.fsrcnn_version());
  }

  /** Opens a model file and makes an upscaler of it; options as fsrcnn_options has them. `reach`: how many pixels
   * around its own a pixel of the result may depend on. */
  open(bytes, { precision = "auto", colour = "guided", strength = 1, guard = true } = {}) {
    choose(PRECISIONS, "precision", precision);
    choose(COLOURS, "colour", colour);
    const api = this.instance.exports;
    return this.#with(bytes.length + 8, (file) => {
      const out = file + ((bytes.length + 3) & ~3);
      this.#bytes(file, bytes.length).set(bytes);
      this.#check(api.fsrcnn_model_open(file, bytes.length, out));
      const model = this.#view().getUint32(out, true);
      try {
        return this.#with(32, (options) => {
          api.fsrcnn_options_init(options);
          const view = this.#view();
          view.setInt32(options + 4, PRECISIONS[precision], true);
          view.setInt32(options + 8, COLOURS[colour], true);
          view.setFloat32(options + 12, strength, true);
          view.setInt32(options + 16, guard ? 1 : 0, true);
          view.setInt32(options + 20, 1, true); // threads
          this.#check(api.fsrcnn_upscaler_create(model, options, out));
          return { handle: this.#view().getUint32(out, true), reach: api.fsrcnn_model_reach(model) };
        });
      } finally {
        api.fsrcnn_model_close(model);
      }
    });
  }

  close(upscaler) {
    this.instance.exports.fsrcnn_upscaler_close(upscaler.handle);
  }

  /** Upscales interleaved samples of 8 bits, without gaps: {data, width, height, channels} to {width, height}. */
  upscale(upscaler, { data, width, height, channels }, size) {
    const made = size.width * size.height * channels;
    if (data.length !== width * height * channels) {
      throw new FsrcnnError(`data has ${data.length} samples, not ${width}x${height}x${channels}`, 1);
    }
    return this.#with(48 + data.length + made, (at) => {
      const [source, result] = [at + 48, at + 48 + data.length];
      this.#bytes(source, data.length).set(data);
      this.#words(at, [source, width, height, channels, 8, width * channels]);
      this.#words(at + 24, [result, size.width, size.height, channels, 8, size.width * channels]);
      this.#check(this.instance.exports.fsrcnn_upscale(upscaler.handle, at, at + 24));
      return this.#bytes(result, made).slice();
    });
  }

  /** The same of planar YUV of 8 bits, 4:2:0: luma, Cb and Cr one after the other. */
  upscaleYuv420(upscaler, { data, width, height, location = "left" }, size) {
    choose(LOCATIONS, "location", location);
    const bytesOf = (w, h) => w * h + 2 * Math.ceil(w / 2) * Math.ceil(h / 2);
    const [count, made] = [bytesOf(width, height), bytesOf(size.width, size.height)];
    if (data.length !== count) {
      throw new FsrcnnError(`data has ${data.length} samples, not the ${count} of 4:2:0 in ${width}x${height}`, 1);
    }
    return this.#with(96 + count + made, (at) => {
      const frame = (to, first, w, h) => {
        const [across, down] = [Math.ceil(w / 2), Math.ceil(h / 2)];
        const planes = [first, first + w * h, first + w * h + across * down];
        this.#words(to, [...planes, w, across, across, w, h, 8, 2, 2, LOCATIONS[location]]);
      };
      this.#bytes(at + 96, count).set(data);
      frame(at, at + 96, width, height);
      frame(at + 48, at + 96 + count, size.width, size.height);
      this.#check(this.instance.exports.fsrcnn_upscale_frame(upscaler.handle, at, at + 48));
      return this.#bytes(at + 96 + count, made).slice();
    });
  }

  #bytes(at, count) {
    return new Uint8Array(this.instance.exports.memory.buffer, at, count);
  }
  #view() {
    return new DataView(this.instance.exports.memory.buffer);
  }
  #words(at, words) {
    const view = this.#view();
    words.forEach((word, i) => view.setInt32(at + 4 * i, word, true));
  }
  #text(at) {
    const bytes = this.#bytes(at, this.instance.exports.memory.buffer.byteLength - at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
  #check(status) {
    if (status !== 0) throw new FsrcnnError(this.#text(this.instance.exports.fsrcnn_error()), status);
  }
  /** Calls with the address of so many bytes, which are free afterwards. */
  #with(count, call) {
    const at = this.instance.exports.malloc(count);
    if (at === 0) throw new FsrcnnError("there is not enough memory", 3);
    try {
      return call(at);
    } finally {
      this.instance.exports.free(at);
    }
  }
}

function choose(choices, name, value) {
  if (!Object.hasOwn(choices, value)) {
    throw new FsrcnnError(`${name}=${value} is none of ${Object.keys(choices).join(", ")}`, 1);
  }
}
