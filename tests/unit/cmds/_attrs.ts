/**
 * Holding the attr of a call against what it should hold, field by field.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { cString } from "../../../ffi/memory.ts";
import { attrLayouts } from "../../../uapi/attr.gen.ts";
import type { CommandName } from "../../../uapi/enums.gen.ts";
import { FakeKernel, memoryAt, type OpenCall, type SeenCall } from "../_fake_kernel.ts";

/** What a field should hold: an integer, the text of an array or behind a pointer, or the bytes behind a pointer. */
export type Expected = Readonly<Record<string, number | bigint | string | Uint8Array | readonly string[]>>;

interface Place {
  readonly offset: number;
  readonly size: number;
  readonly kind: string;
}

function integerAt(bytes: Uint8Array, { offset, size, kind }: Place): bigint {
  const whole = new Uint8Array(8);
  whole.set(bytes.subarray(offset, offset + size));
  const value = new BigUint64Array(whole.buffer)[0];
  return kind === "s32" ? BigInt.asIntN(32, value) : value;
}

/**
 * Asserts that an attr holds what is expected, zeroes everywhere else, and ends where the command's last field ends.
 * Called while the call is under way: what pointers point at may be gone afterwards.
 */
export function assertAttr({ command, bytes, size }: SeenCall, expected: Expected): void {
  const fields: Readonly<Record<string, Place>> = attrLayouts[command].fields;
  const end = Math.max(...Object.values(fields).map((place) => place.offset + place.size));
  assertEquals(size, end, `${command}: size`);
  const rest = bytes.slice();
  for (const [name, value] of Object.entries(expected)) {
    const place = fields[name];
    assert(place !== undefined, `${command} has no field ${name}`);
    const label = `${command}: ${name}`;
    if (typeof value === "number" || typeof value === "bigint") {
      assertEquals(integerAt(bytes, place), BigInt(value), label);
    } else if (place.kind === "char") {
      const wanted = new Uint8Array(place.size);
      wanted.set(new TextEncoder().encode(value as string));
      assertEquals(bytes.slice(place.offset, place.offset + place.size), wanted, label);
    } else assertPointer(integerAt(bytes, place), value, label);
    rest.fill(0, place.offset, place.offset + place.size);
  }
  const left = Object.entries(fields).filter(([, { offset, size }]) => rest.slice(offset, offset + size).some(Boolean));
  assertEquals(left.map(([name]) => name), [], `${command}: fields that nobody asked for`);
  assertEquals(rest.some(Boolean), false, `${command}: bytes between the fields`);
}

function assertPointer(address: bigint, value: string | Uint8Array | readonly string[], label: string): void {
  if (typeof value === "string") return assertPointer(address, cString(value), label);
  if (value instanceof Uint8Array) {
    if (value.length === 0) return assertEquals(address, 0n, label);
    assert(address !== 0n, `${label} is a null pointer`);
    return assertEquals(memoryAt(address, value.length).slice(), Uint8Array.from(value), label);
  }
  const addresses = new BigUint64Array(memoryAt(address, 8 * value.length).slice().buffer);
  value.forEach((text, index) => assertPointer(addresses[index], text, `${label}[${index}]`));
}

/**
 * Makes a call on a fake kernel, and asserts that the last call of a command has the attr that is expected.
 *
 * @param command The command.
 * @param expected Its fields.
 * @param make Makes the call; what it gives is disposed of.
 * @param prepare Prepares the fake.
 */
export function assertCall(
  command: CommandName,
  expected: Expected,
  make: () => unknown,
  prepare: (fake: FakeKernel) => void = () => {},
): void {
  using fake = new FakeKernel();
  prepare(fake);
  const answer = fake.answer;
  let failure: unknown;
  let seen = 0;
  fake.answer = (call: OpenCall) => {
    if (call.command === command) {
      seen++;
      try {
        assertAttr(fake.seen[fake.seen.length - 1], expected);
      } catch (error) {
        failure ??= error;
      }
    }
    return answer(call);
  };
  const made = make();
  if (typeof made === "object" && made !== null && Symbol.dispose in made) (made as Disposable)[Symbol.dispose]();
  if (failure !== undefined) throw failure;
  assertEquals(seen, 1, `${command}: calls`);
}
