/**
 * What networks count in: addresses, prefixes and ports, as text and in network byte order.
 *
 * @module
 */

import { misfit, wrongType } from "./_misfit.ts";
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./_ip.ts";
import { Codec } from "./codec.ts";
import { type IntegerCodec, u16be } from "./integers.ts";
import { trust } from "./trust.ts";

type View = DataView<ArrayBuffer>;

const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function memory(view: View, offset: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

/** How the addresses of a family are read and written. */
interface Family {
  readonly name: string;
  readonly size: number;
  readonly parse: (text: string) => Uint8Array<ArrayBuffer> | undefined;
  readonly format: (bytes: Uint8Array<ArrayBuffer>) => string;
}

const V4: Family = { name: "ipv4", size: 4, parse: parseIpv4, format: formatIpv4 };
const V6: Family = { name: "ipv6", size: 16, parse: parseIpv6, format: formatIpv6 };

class AddressCodec extends Codec<string> {
  readonly #family: Family;

  constructor(family: Family) {
    super(family.name, family.size, 4);
    this.#family = family;
  }

  decode(view: View, offset: number): string {
    return this.#family.format(memory(view, offset, this.size));
  }

  encode(view: View, offset: number, value: string): void {
    if (typeof value !== "string") wrongType(this.name, value, "a string");
    const bytes = this.#family.parse(value);
    if (bytes === undefined) misfit(this.name, `${JSON.stringify(value)} is not an address`);
    memory(view, offset, this.size).set(bytes);
  }
}

/** An IPv4 address, as `"192.0.2.1"`. C names: `__be32`, `struct in_addr`. */
export const ipv4: Codec<string> = trust(new AddressCodec(V4));

/** An IPv6 address, as `"2001:db8::1"`. C name: `struct in6_addr`. */
export const ipv6: Codec<string> = trust(new AddressCodec(V6));

/** The bytes of `struct bpf_lpm_trie_key` before the data: the length of the prefix. */
const PREFIX_HEADER = 4;

class PrefixCodec extends Codec<string> {
  readonly #family: Family;

  constructor(family: Family) {
    super(`${family.name}Prefix`, PREFIX_HEADER + family.size, 4);
    this.#family = family;
  }

  decode(view: View, offset: number): string {
    const address = this.#family.format(memory(view, offset + PREFIX_HEADER, this.#family.size));
    return `${address}/${view.getUint32(offset, LITTLE_ENDIAN)}`;
  }

  encode(view: View, offset: number, value: string): void {
    if (typeof value !== "string") wrongType(this.name, value, "a string");
    const bits = 8 * this.#family.size;
    const [, address, length = `${bits}`] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
    const bytes = address === undefined ? undefined : this.#family.parse(address);
    if (bytes === undefined) misfit(this.name, `${JSON.stringify(value)} is not an address, or a prefix`);
    const prefix = Number(length);
    if (prefix > bits) misfit(this.name, `${JSON.stringify(value)} has a length of more than ${bits} bits`);
    for (let bit = prefix; bit < bits; bit++) {
      // The trie would match it all the same, and tell it back with the bits that nobody asked for.
      if ((bytes[bit >> 3] & 0x80 >> (bit & 7)) !== 0) {
        misfit(this.name, `${JSON.stringify(value)} has bits set beyond the first ${prefix}`);
      }
    }
    view.setUint32(offset, prefix, LITTLE_ENDIAN);
    memory(view, offset + PREFIX_HEADER, bytes.length).set(bytes);
  }
}

/**
 * The key of an LPM trie over IPv4, as `"10.0.0.0/8"`; an address without a length stands for all its bits. C name:
 * `struct bpf_lpm_trie_key`.
 */
export const ipv4Prefix: Codec<string> = trust(new PrefixCodec(V4));

/** The key of an LPM trie over IPv6, as `"2001:db8::/32"`. C name: `struct bpf_lpm_trie_key`. */
export const ipv6Prefix: Codec<string> = trust(new PrefixCodec(V6));

class MacCodec extends Codec<string> {
  decode(view: View, offset: number): string {
    return [...memory(view, offset, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  }

  encode(view: View, offset: number, value: string): void {
    if (typeof value !== "string") wrongType(this.name, value, "a string");
    if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(value)) {
      misfit(this.name, `${JSON.stringify(value)} is not six bytes in hexadecimal`);
    }
    memory(view, offset, 6).set(value.split(/[:-]/).map((byte) => parseInt(byte, 16)));
  }
}

/** A hardware address, as `"52:54:00:12:34:56"`. C name: `__u8[6]`. */
export const mac: Codec<string> = trust(new MacCodec("mac", 6, 1));

/** A port in network byte order. C name: `__be16`. */
export const port: IntegerCodec<number> = u16be;
