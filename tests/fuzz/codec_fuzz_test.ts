import { assert, assertEquals, assertGreater } from "@std/assert";
import fc from "fast-check";
import {
  array,
  type BitfieldMember,
  bits,
  bool,
  bytes,
  type Codec,
  cstr,
  enumOf,
  f32,
  f64,
  i128,
  i128be,
  i16,
  i16be,
  i32,
  i32be,
  i64,
  i64be,
  i8,
  type IntegerCodec,
  ipv4,
  ipv4Prefix,
  ipv6,
  mac,
  pad,
  struct,
  u128,
  u16,
  u16be,
  u32,
  u32be,
  u64,
  u64be,
  u8,
  union,
} from "../../codec.ts";

/** Where the numbers start: `CODEC_FUZZ_SEED` tries others. */
const SEED = Number(Deno.env.get("CODEC_FUZZ_SEED") ?? 0xc0de);
const RUNS = Number(Deno.env.get("CODEC_FUZZ_RUNS") ?? 1500);

/** A codec with the values that it takes, and whether two of them are the same. */
interface Made {
  readonly codec: Codec<unknown>;
  readonly values: fc.Arbitrary<unknown>;
  readonly same: (read: unknown, written: unknown) => boolean;
}

function equal(read: unknown, written: unknown): boolean {
  if (read instanceof Uint8Array && written instanceof Uint8Array) return read.join() === written.join();
  return Object.is(read, written);
}

function made(codec: unknown, values: fc.Arbitrary<unknown>, same: Made["same"] = equal): Made {
  return { codec: codec as Codec<unknown>, values, same };
}

/** The numbers that some bits hold. */
function integers(width: number, signed: boolean, isBig: boolean): fc.Arbitrary<unknown> {
  const [min, max] = signed
    ? [-(1n << BigInt(width - 1)), (1n << BigInt(width - 1)) - 1n]
    : [0n, (1n << BigInt(width)) - 1n];
  const edges = [min, max, 0n, min + 1n, max - 1n].map((value) => fc.constant(value));
  const all = fc.oneof(...edges, fc.bigInt({ min, max }));
  return isBig ? all : all.map(Number);
}

const SMALL: readonly IntegerCodec<number>[] = [u8, i8, u16, i16, u32, i32, u16be, i16be, u32be, i32be];
const BIG: readonly IntegerCodec<bigint>[] = [u64, i64, u64be, i64be, u128, i128, i128be];
const NATIVE: readonly IntegerCodec<number>[] = [u8, i8, u16, i16, u32, i32];

const integerCodec = fc.oneof(
  fc.constantFrom(...SMALL).map((codec) => made(codec, integers(codec.bits, codec.signed, false))),
  fc.constantFrom(...BIG).map((codec) => made(codec, integers(codec.bits, codec.signed, true))),
);

const NAMES = ["A", "B", "C", "constructor", "__proto__x"] as const;

const leaf: fc.Arbitrary<Made> = fc.oneof(
  { weight: 4, arbitrary: integerCodec },
  fc.constant(made(bool, fc.boolean())),
  fc.constant(made(f64, fc.double())),
  fc.constant(made(f32, fc.float())),
  fc.nat(9).map((size) => made(bytes(size), fc.uint8Array({ minLength: size, maxLength: size }))),
  fc.nat(12).map((size) => {
    const fits = (text: string): boolean => new TextEncoder().encode(text).length < Math.max(size, 1);
    const text = fc.string({ unit: "grapheme", maxLength: size }).filter((one) => !one.includes("\0") && fits(one));
    return made(cstr(size), size === 0 ? fc.constant("") : text);
  }),
  fc.constant(made(ipv4, fc.ipV4())),
  fc.constant(
    made(
      mac,
      fc.uint8Array({ minLength: 6, maxLength: 6 }).map((six) =>
        new Uint8Array(six).toHex().replace(/..(?!$)/g, "$&:")
      ),
    ),
  ),
  fc.constant(made(
    ipv4Prefix,
    fc.tuple(fc.nat(32), fc.nat(0xffffffff)).map(([length, word]) => {
      const kept = length === 0 ? 0 : word & -(2 ** (32 - length));
      return `${[24, 16, 8, 0].map((shift) => kept >>> shift & 0xff).join(".")}/${length}`;
    }),
  )),
  fc.constantFrom(u8, i16, u32, i32).map((base) =>
    made(enumOf({ A: 0, B: 1, C: 2, constructor: 3, "__proto__x": 4 }, base), fc.constantFrom(...NAMES))
  ),
);

/** A member of a struct: a codec, or a bit-field. */
interface Member {
  readonly field: Codec<unknown> | BitfieldMember<unknown>;
  readonly values: fc.Arbitrary<unknown>;
  readonly same: Made["same"];
}

const bitfield: fc.Arbitrary<Member> = fc.constantFrom(...NATIVE).chain((base) =>
  fc.integer({ min: 1, max: base.bits }).map((width) => ({
    field: bits(base, width) as BitfieldMember<unknown>,
    values: integers(width, base.signed, false),
    same: equal,
  }))
);

const fieldNames = fc.uniqueArray(
  fc.oneof(
    fc.string({ minLength: 1, maxLength: 6 }),
    fc.constantFrom("constructor", "toString", '"', "\u2028", "`${x}"),
  ),
  { minLength: 1, maxLength: 6 },
).map((names) => names.filter((name) => !/^\d+$/.test(name) && name !== "__proto__"));

function structs(inner: fc.Arbitrary<Made>): fc.Arbitrary<Made> {
  const member: fc.Arbitrary<Member> = fc.oneof(
    { weight: 3, arbitrary: inner.map(({ codec, values, same }) => ({ field: codec, values, same })) },
    { weight: 2, arbitrary: bitfield },
  );
  const padding = fc.option(fc.integer({ min: 1, max: 5 }));
  return fc.tuple(fieldNames, fc.array(member, { minLength: 6, maxLength: 6 }), fc.boolean(), padding).map(
    ([names, members, packed, padded]) => {
      const fields: [string, Member["field"]][] = names.map((name, index) => [name, members[index].field]);
      if (padded !== null) fields.splice(1, 0, ["a name that is no other", pad(padded)]);
      const codec = struct(Object.fromEntries(fields), { packed });
      const values = fc.tuple(...names.map((_, index) => members[index].values))
        .map((all) => Object.fromEntries(names.map((name, index) => [name, all[index]])));
      return made(codec, values, (read, written) => {
        const [one, two] = [read, written] as Record<string, unknown>[];
        if (Object.keys(one).length !== names.length) return false;
        return names.every((name, index) => members[index].same(one[name], two[name]));
      });
    },
  );
}

function arrays(inner: fc.Arbitrary<Made>): fc.Arbitrary<Made> {
  return fc.tuple(inner, fc.nat(4)).map(([{ codec, values, same }, length]) =>
    made(array(codec, length), fc.array(values, { minLength: length, maxLength: length }), (read, written) => {
      const [one, two] = [read, written] as unknown[][];
      return one.length === length && one.every((item, index) => same(item, two[index]));
    })
  );
}

function unions(inner: fc.Arbitrary<Made>): fc.Arbitrary<Made> {
  return fc.tuple(inner, inner).map(([one, two]) => {
    const members = { one, two };
    const codec = union({ one: one.codec, two: two.codec });
    const values = fc.constantFrom("one" as const, "two" as const)
      .chain((name) => members[name].values.map((value) => ({ [name]: value })));
    return made(codec, values, (read, written) => {
      const [[name, value]] = Object.entries(written as object);
      return members[name as "one"].same((read as Record<string, unknown>)[name], value);
    });
  });
}

function anyCodec(depth: number): fc.Arbitrary<Made> {
  if (depth === 0) return leaf;
  const inner = anyCodec(depth - 1);
  return fc.oneof(leaf, { weight: 3, arbitrary: structs(inner) }, arrays(inner), unions(inner));
}

const withValue = anyCodec(3).chain(({ codec, values, same }) => values.map((value) => ({ codec, value, same })));

/** Decoders of structs are compiled after 64 values. */
const OFTEN = 66;

Deno.test("any codec reads what it wrote, writes all of its bytes whatever was there, and nothing else", () => {
  let compared = 0;
  let larger = 0;
  fc.assert(
    fc.property(withValue, fc.nat(17), ({ codec, value, same }, offset) => {
      const written = [0x00, 0xff].map((dirt) => {
        const memory = new Uint8Array(offset + codec.size + 9).fill(dirt);
        // The view does not start where the memory does.
        const view = new DataView(memory.buffer, Math.min(offset, 3));
        codec.encode(view, offset - view.byteOffset, value);
        assert(memory.subarray(0, offset).every((byte) => byte === dirt), "bytes in front were written to");
        assert(memory.subarray(offset + codec.size).every((byte) => byte === dirt), "bytes behind were written to");
        const before = memory.slice();
        for (let time = 0; time < OFTEN; time++) {
          if (time > 1 && time < OFTEN - 2) codec.decode(view, offset - view.byteOffset);
          else assert(same(codec.decode(view, offset - view.byteOffset), value), "another value was read");
        }
        assertEquals(memory, before);
        return memory.slice(offset, offset + codec.size);
      });
      assertEquals(written[0], written[1]);
      compared++;
      if (codec.size > 16) larger++;
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assertEquals(compared, RUNS);
  assertGreater(larger, RUNS / 10);
});

Deno.test("any codec refuses what it does not take by a RangeError or a TypeError", () => {
  const anything = fc.oneof(fc.anything({ withBigInt: true, withTypedArray: true }), fc.string(), fc.integer());
  let refused = 0;
  fc.assert(
    fc.property(anyCodec(2), anything, ({ codec }, value) => {
      const memory = new DataView(new ArrayBuffer(codec.size));
      try {
        codec.encode(memory, 0, value);
      } catch (error) {
        assert(error instanceof RangeError || error instanceof TypeError, String(error));
        assert(error.message.startsWith("Cannot encode "), error.message);
        refused++;
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assertGreater(refused, RUNS / 2);
});

Deno.test("ipv6 reads what it wrote, in the one form that is told, and bytes come back as they were", () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(0xffff), (text, sixteen, zeros) => {
      // Runs of zeros are what the short form is about.
      const raw = Uint8Array.from(sixteen, (byte, index) => (zeros >> index & 1) === 1 ? 0 : byte);
      const memory = new DataView(raw.buffer);
      const told = ipv6.decode(memory, 0);
      const again = new DataView(new ArrayBuffer(16));
      ipv6.encode(again, 0, told);
      assertEquals(new Uint8Array(again.buffer), raw);
      ipv6.encode(again, 0, text);
      const form = ipv6.decode(again, 0);
      ipv6.encode(memory, 0, form);
      assertEquals([ipv6.decode(memory, 0), raw], [form, new Uint8Array(again.buffer)]);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});
