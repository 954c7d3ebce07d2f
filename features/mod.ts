/**
 * What the running kernel supports, found out by trying: yes (`true`), no (`false`), or that it could not be told
 * (`undefined`).
 *
 * @module
 */

export { hasAttachType } from "./attach_types.ts";
export { hasHelper, helpersFor } from "./helpers.ts";
export { type JitSettings, jitSettings } from "./jit.ts";
export { kernelBtf } from "./kernel_btf.ts";
export { hasMapType } from "./map_types.ts";
export { type Feature, features, hasFeature } from "./misc.ts";
export { hasProgType } from "./prog_types.ts";
