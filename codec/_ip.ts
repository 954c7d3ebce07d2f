/**
 * IP addresses as text: RFC 5952 out, whatever inet_pton(3) takes in.
 *
 * @module
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** The four bytes of an IPv4 address, or undefined. */
export function parseIpv4(text: string): Bytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return new Uint8Array(parts.map(Number));
}

/** An IPv4 address as text. */
export function formatIpv4(bytes: Bytes): string {
  return bytes.join(".");
}

/** The 16-bit groups of a part of an IPv6 address, or undefined. */
function groupsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 && part.includes(".") ? parseIpv4(part) : undefined;
    if (v4 !== undefined) groups.push(v4[0] << 8 | v4[1], v4[2] << 8 | v4[3]);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** The sixteen bytes of an IPv6 address, or undefined. */
export function parseIpv6(text: string): Bytes | undefined {
  const halves = text.split("::");
  if (halves.length > 2 || halves[0].includes(".") && halves.length === 2) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail ?? []];
  return new Uint8Array(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** An IPv6 address as text: the longest run of two or more zero groups is left out. */
export function formatIpv6(bytes: Bytes): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes[2 * index] << 8 | bytes[2 * index + 1]);
  let [start, length] = [-1, 1];
  for (let index = 0; index < 8; index++) {
    let end = index;
    while (end < 8 && groups[end] === 0) end++;
    if (end - index > length) [start, length] = [index, end - index];
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (start < 0) return text(groups);
  // Mapped IPv4 addresses are told as such, as inet_ntop(3) does.
  if (start === 0 && length === 5 && groups[5] === 0xffff) return `::ffff:${formatIpv4(bytes.slice(12))}`;
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
