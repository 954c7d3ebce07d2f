/**
 * Enums, by the names of their values.
 *
 * @module
 */

import { wrongType } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { type IntegerCodec, u32 } from "./integers.ts";
import { trustAs } from "./trust.ts";

class EnumCodec<N extends string, T extends number | bigint> extends Codec<N | T> {
  /** Whether there are values below zero, for bit-fields. */
  readonly signed: boolean;
  readonly #base: IntegerCodec<T>;
  readonly #values: ReadonlyMap<string, T>;
  readonly #names: ReadonlyMap<T, N>;

  constructor(values: Readonly<Record<N, T>>, base: IntegerCodec<T>, name: string) {
    super(name, base.size, base.alignment);
    this.signed = base.signed;
    const entries = Object.entries(values) as [N, T][];
    // Of names that share a value the first is told, as C debuggers do.
    this.#names = new Map(entries.map(([key, value]): [T, N] => [value, key]).reverse());
    this.#values = new Map(entries);
    this.#base = base;
    const scratch = new DataView(new ArrayBuffer(base.size));
    for (const [, value] of entries) base.encode(scratch, 0, value);
  }

  decode(view: DataView<ArrayBuffer>, offset: number): N | T {
    const value = this.#base.decode(view, offset);
    return this.#names.get(value) ?? value;
  }

  encode(view: DataView<ArrayBuffer>, offset: number, value: N | T): void {
    const number = typeof value === "string" ? this.#values.get(value) : value;
    if (number === undefined) {
      const names = [...this.#values.keys()];
      const known = names.length > 12 ? `${names.slice(0, 12).join(", ")}, …` : names.join(", ");
      wrongType(this.name, value, `one of ${known}`);
    }
    this.#base.encode(view, offset, number);
  }
}

/**
 * An enum: its values read as their names, and as numbers where they have none.
 *
 * @example
 * ```ts
 * import { decode, encode, enumOf } from "@bpf/deno";
 *
 * const verdict = enumOf({ XDP_ABORTED: 0, XDP_DROP: 1, XDP_PASS: 2 });
 * console.log(decode(verdict, encode(verdict, "XDP_PASS")));
 * ```
 *
 * @typeParam N The names.
 * @typeParam T `number`, or `bigint` over 64 bits.
 * @param values The values by name.
 * @param base The integer that C stores it in: `i32` where one value is below zero. By default `u32`.
 * @param name The C type's name.
 * @returns The codec.
 * @throws {RangeError | TypeError} For a value that the integer cannot have.
 */
export function enumOf<const N extends string, T extends number | bigint = number>(
  values: Readonly<Record<N, T>>,
  base: IntegerCodec<T> = u32 as unknown as IntegerCodec<T>,
  name = "enum",
): Codec<N | T> {
  return trustAs(new EnumCodec<N, T>(values, base, name), [base]);
}
