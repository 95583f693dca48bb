/** Super-resolution in a browser: pictures and video frames, in workers. Nothing leaves the machine. */

export type Model =
  | "fsrcnn"
  | "fsrcnn-graphics"
  | "fsrcnn-denoise1"
  | "fsrcnn-denoise2"
  | "fsrcnn-denoise3"
  | "fsrcnn-s"
  | "fsrcnn-s-graphics";

export interface Size {
  /** Pixels. */
  width: number;
  height: number;
}

/** Samples of 8 bits without gaps: 1 channel grey, 2 grey and alpha, 3 RGB, 4 RGBA; alpha is not premultiplied. */
export interface Samples extends Size {
  channels: 1 | 2 | 3 | 4;
  data: Uint8Array | Uint8ClampedArray;
}

export interface Options {
  /** Above 1 and up to 16; default 3. Sides are rounded to the nearest pixel, halves up. */
  scale?: number;
  /** In place of `scale`: the size of the result, nowhere smaller than the picture. */
  size?: Size;
  /** Default "fsrcnn". */
  model?: Model;
  /**
   * "auto" (the default) and "int16" give the same picture to the bit as the command line does. "float32" is computed
   * by scalar code, unless the module was built with FSRCNN_WASM_FLOAT, and takes minutes.
   */
  precision?: "auto" | "float32" | "int16";
  /** How chroma is made; default "guided". Frames in YUV have bicubic chroma. */
  colour?: "guided" | "bicubic" | "rgb";
  /** How much is taken of what the network adds, 0 to 1.5; default 1. */
  strength?: number;
  /** Whether luma is kept near the range of the pixels around; default true. */
  guard?: boolean;
}

/** What was refused, by the name of the argument and its value. */
export class FsrcnnError extends Error {
  readonly status: "" | "a bad argument" | "a bad model" | "no memory" | "a failure";
}

export const MODELS: readonly Model[];

/** Workers with a core each. Pictures are shared out among them in rows, frames one to each. */
export class Upscaler {
  /**
   * Loads the module and starts the workers.
   * @param settings `base`: where fsrcnn.wasm, worker.js and weights/ are (default: beside this module); `workers`: as
   * many as the machine has threads, up to 8, by default; `models`: those to load at once.
   */
  static load(settings?: { base?: URL; workers?: number; models?: readonly Model[] }): Promise<Upscaler>;
  readonly workers: number;
  /** Of the module, such as "0.1.0". */
  readonly version: string;
  upscale(image: ImageData, options?: Options): Promise<ImageData>;
  /** The frame that goes in is not closed; whoever gets the result closes that. */
  upscale(image: VideoFrame, options?: Options): Promise<VideoFrame>;
  upscale(image: Samples, options?: Options): Promise<Samples>;
  /** Ends the workers; what is under way is refused. */
  close(): void;
}

/** `Upscaler.upscale`, by workers that are started at the first call and kept. */
export function upscale(image: ImageData, options?: Options): Promise<ImageData>;
export function upscale(image: VideoFrame, options?: Options): Promise<VideoFrame>;
export function upscale(image: Samples, options?: Options): Promise<Samples>;
