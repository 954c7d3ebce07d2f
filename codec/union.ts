/**
 * Unions: the same bytes, seen as one of several members.
 *
 * @module
 */

import { misfit, within, wrongType } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { trustAs } from "./trust.ts";

type View = DataView<ArrayBuffer>;

/** The members of a union. */
export type UnionMembers = Readonly<Record<string, Codec<unknown>>>;

/**
 * A union's value. Read, it has every member, decoded when it is asked for; written, it has exactly one member, or is
 * what was read.
 */
export type UnionValue<M extends UnionMembers> = {
  readonly [K in keyof M]?: M[K] extends Codec<infer T> ? T : never;
};

/** The bytes behind what a union was read as. */
const contents = new WeakMap<object, Uint8Array<ArrayBuffer>>();

class UnionCodec<T extends object> extends Codec<T> {
  readonly #members: ReadonlyMap<string, Codec<unknown>>;
  /** Has a getter for each member, so that a value costs no closures. */
  readonly #prototype: object;

  constructor(name: string, size: number, alignment: number, members: ReadonlyMap<string, Codec<unknown>>) {
    super(name, size, alignment);
    this.#members = members;
    // For console.log() and JSON.stringify(), which look at an object's own properties only.
    const all = function (this: object): Record<string, unknown> {
      return Object.fromEntries([...members.keys()].map((key) => [key, (this as Record<string, unknown>)[key]]));
    };
    const show = function (this: object, inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
      return `${name} ${inspect(all.call(this), options)}`;
    };
    this.#prototype = Object.create(null, {
      toJSON: { value: all },
      [Symbol.for("Deno.customInspect")]: { value: show },
      ...Object.fromEntries([...members].map(([member, codec]) => [member, {
        enumerable: true,
        get(this: object): unknown {
          const bytes = contents.get(this);
          return bytes === undefined ? undefined : codec.decode(new DataView(bytes.buffer), 0);
        },
      }])),
    });
  }

  decode(view: View, offset: number): T {
    const value = Object.create(this.#prototype) as T;
    contents.set(value, new Uint8Array(view.buffer, view.byteOffset + offset, this.size).slice());
    return value;
  }

  encode(view: View, offset: number, value: T): void {
    if (typeof value !== "object" || value === null) wrongType(this.name, value, "an object");
    const target = new Uint8Array(view.buffer, view.byteOffset + offset, this.size);
    const read = contents.get(value);
    if (read !== undefined) {
      if (read.length !== this.size) misfit(this.name, `it was read from a union of ${read.length} bytes`);
      target.set(read);
      return;
    }
    const given = Object.entries(value).filter(([, member]) => member !== undefined);
    if (given.length !== 1 || !this.#members.has(given[0][0])) {
      const names = [...this.#members.keys()].join(", ");
      misfit(
        this.name,
        `it needs exactly one of ${names}, and has ${given.map(([name]) => name).join(", ") || "none"}`,
      );
    }
    const [name, member] = given[0];
    target.fill(0);
    try {
      this.#members.get(name)!.encode(view, offset, member);
    } catch (error) {
      within(error, name);
    }
  }
}

/**
 * A union. Read, it is a view of its bytes with a getter for each member; written, an object with one of them, the rest
 * of the bytes zero.
 *
 * @example
 * ```ts
 * import { decode, encode, ipv4, ipv6, union } from "@bpf/deno";
 *
 * const address = union({ v4: ipv4, v6: ipv6 });
 * console.log(decode(address, encode(address, { v4: "192.0.2.1" })).v6);
 * ```
 *
 * @typeParam M The members.
 * @param members The codecs by name.
 * @param options The C type's name; for unions whose place is known, such as from BTF, the size and the alignment.
 * @returns A codec of views.
 * @throws {RangeError} For a member that is larger than the size given.
 */
export function union<const M extends UnionMembers>(
  members: M,
  options: { name?: string; size?: number; alignment?: number } = {},
): Codec<UnionValue<M>> {
  const { name = "union" } = options;
  const codecs = new Map(Object.entries(members));
  const alignment = options.alignment ?? Math.max(1, ...[...codecs.values()].map((codec) => codec.alignment));
  const largest = Math.max(0, ...[...codecs.values()].map((codec) => codec.size));
  const size = options.size ?? Math.ceil(largest / alignment) * alignment;
  if (largest > size) throw new RangeError(`Cannot make a codec of ${name}: a member has ${largest} bytes of ${size}`);
  return trustAs(new UnionCodec<UnionValue<M>>(name, size, alignment, codecs), Object.values(members));
}
