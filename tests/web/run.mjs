// Carries out jobs by the module in Node: run.mjs FOLDER JOBS.json, where FOLDER is what web/build.sh makes. Prints the
// SHA-256 of the samples of each result, a line a job, or what was said of it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, list] = process.argv.slice(2);
const { Core } = await import(pathToFileURL(`${folder}/core.js`));
const core = await Core.start(new WebAssembly.Module(readFileSync(`${folder}/fsrcnn.wasm`)));
const upscalers = new Map();

for (const { model, options, layout, data, width, height, channels, location, size } of JSON.parse(readFileSync(list))) {
  const key = JSON.stringify([model, options]);
  try {
    if (!upscalers.has(key)) upscalers.set(key, core.open(readFileSync(model), options));
    const picture = { data: Buffer.from(data, "base64"), width, height, channels, location };
    const run = layout === "yuv420" ? "upscaleYuv420" : "upscale";
    console.log(createHash("sha256").update(core[run](upscalers.get(key), picture, size)).digest("hex"));
  } catch (error) {
    console.log(`${error.name}: ${error.message}`);
  }
}
