// Frames per second of the WebAssembly module on one thread, in Node: 640x360 to 1280x720 by FSRCNN-s.
//
//   node benchmarks/module.mjs build/web [SECONDS]
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, seconds = "5"] = process.argv.slice(2);
const { Core } = await import(pathToFileURL(resolve(folder, "core.js")));
const core = await Core.start(new WebAssembly.Module(readFileSync(`${folder}/fsrcnn.wasm`)));
const [width, height] = [640, 360];
const data = Uint8Array.from({ length: (width * height * 3) / 2 }, (_, i) => (i * 2654435761) >>> 24);

for (const model of ["fsrcnn-s", "fsrcnn"]) {
  const upscaler = core.open(readFileSync(`${folder}/weights/${model}.safetensors`));
  const times = [];
  const end = performance.now() + 500 * Number(seconds);
  while (performance.now() < end || times.length < 3) {
    const began = performance.now();
    core.upscaleYuv420(upscaler, { data, width, height }, { width: 1280, height: 720 });
    times.push(performance.now() - began);
  }
  times.sort((one, other) => one - other);
  const fps = (time) => (1000 / time).toFixed(1);
  console.log(`${model}: ${fps(times[0])} frames/s at best, ${fps(times[times.length >> 1])} median of ${times.length}`);
}
