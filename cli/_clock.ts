/**
 * Times of the kernel's, which count from its start.
 *
 * @module
 */

import { tryReadKernelText } from "../ffi/kernel_file.ts";

let bootTime: number | undefined;

/** When the kernel started, in milliseconds since 1970. */
function bootMs(): number {
  if (bootTime === undefined) {
    const uptime = Number(tryReadKernelText("/proc/uptime")?.split(" ")[0] ?? "0");
    bootTime = Date.now() - uptime * 1000;
  }
  return bootTime;
}

/** Seconds since 1970 of a time in nanoseconds since the kernel's start. */
export function wallClockSeconds(sinceBootNs: bigint): number {
  return Math.floor((bootMs() + Number(sinceBootNs / 1_000_000n)) / 1000);
}

/** The last time that was written: many objects are of one second. */
let last = { seconds: NaN, text: "" };

/** A time as strftime(3) writes it with `%FT%T%z`, in the local time zone. */
export function localTime(seconds: number): string {
  if (seconds !== last.seconds) last = { seconds, text: formatTime(seconds) };
  return last.text;
}

function formatTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (number: number): string => `${number}`.padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${zone}`;
}
