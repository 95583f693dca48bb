// One core on a thread of its own: a message in, a message back with the same id.

import { Core } from "./core.js";

let core;
const upscalers = new Map(); // by key

const tasks = {
  async start({ module }) {
    core = await Core.start(module);
    return core.version;
  },
  open({ key, bytes, options }) {
    upscalers.set(key, core.open(bytes, options));
    return upscalers.get(key).reach;
  },
  upscale({ key, picture, size }) {
    return core.upscale(upscalers.get(key), picture, size);
  },
  upscaleYuv420({ key, picture, size }) {
    return core.upscaleYuv420(upscalers.get(key), picture, size);
  },
};

addEventListener("message", async ({ data: { id, task, ...given } }) => {
  try {
    const began = performance.now();
    const result = await tasks[task](given);
    const transfer = result?.buffer ? [result.buffer] : [];
    postMessage({ id, result, milliseconds: performance.now() - began }, transfer);
  } catch (error) {
    postMessage({ id, error: { name: error.name, message: error.message, status: error.status } });
  }
});
