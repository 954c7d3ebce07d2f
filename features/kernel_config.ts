/**
 * What the running kernel was built with.
 *
 * @module
 */

import { gunzipSync } from "node:zlib";
import { SyscallError } from "../errors.ts";
import { readKernelFile, tryReadKernelText } from "../ffi/kernel_file.ts";

/** Bytes that a configuration may have. */
const MAX_CONFIG = 1 << 24;

/**
 * The configuration of the running kernel, of /boot or /proc/config.gz.
 *
 * @returns The values by their names, such as `CONFIG_BPF`; undefined where it cannot be read.
 */
export function readKernelConfig(): Map<string, string> | undefined {
  const release = tryReadKernelText("/proc/sys/kernel/osrelease") ?? "";
  for (const path of [`/boot/config-${release}`, "/proc/config.gz"]) {
    let bytes: Uint8Array;
    try {
      bytes = readKernelFile(path);
    } catch (error) {
      if (error instanceof SyscallError) continue;
      throw error;
    }
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes, { maxOutputLength: MAX_CONFIG }) : bytes;
    return parseConfig(new TextDecoder().decode(plain));
  }
  return undefined;
}

/**
 * Reads a configuration.
 *
 * @param text Lines of `CONFIG_NAME=value`; others are passed over.
 * @returns The values by name.
 */
export function parseConfig(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)) values.set(name, value.trim());
  return values;
}
