import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Attribute,
  attributeString,
  attributeU32,
  encodeAttributes,
  NetlinkSocket,
  parseAttributes,
  parseMessages,
} from "../../../ffi/netlink.ts";
import { SyscallError } from "../../../errors.ts";
import type { Bytes } from "../../../ffi/kernel.ts";
import { FakeKernel } from "../_fake_kernel.ts";

Deno.test("encodeAttributes() pads values, nests, and parseAttributes() reads them back", () => {
  const attributes: Attribute[] = [[1, attributeString("bpf")], [2, [[6, attributeU32(7)], [8, new Uint8Array([1])]]]];
  const bytes = encodeAttributes(attributes);
  assertEquals([...bytes], [
    ...[8, 0, 1, 0, 98, 112, 102, 0],
    ...[20, 0, 2, 0x80, 8, 0, 6, 0, 7, 0, 0, 0, 5, 0, 8, 0, 1, 0, 0, 0],
  ]);
  const outer = parseAttributes(bytes);
  assertEquals([...outer.keys()], [1, 2]);
  assertEquals(parseAttributes(outer.get(2)!), new Map([[6, attributeU32(7)], [8, new Uint8Array([1])]]));
  assertThrows(() => encodeAttributes([[1, new Uint8Array(65533)]]), RangeError, "65533 bytes are too many");
});

Deno.test("parseMessages() and parseAttributes() refuse lengths that are wrong, and say where", () => {
  for (const wrong of [[3, 0, 1, 0], [5, 0, 1, 0], [8, 0, 1, 0, 0, 0, 0, 0, 255, 255, 1, 0]]) {
    const error = assertThrows(() => parseAttributes(new Uint8Array(wrong)), SyntaxError) as SyntaxError & {
      offset: number;
    };
    assertEquals(error.offset, wrong.length > 8 ? 8 : 0);
  }
  const message = new Uint8Array(20);
  for (const length of [0, 15, 21, 0xffffffff]) {
    new DataView(message.buffer).setUint32(0, length, true);
    assertThrows(() => parseMessages(message), SyntaxError, "byte 0");
  }
});

Deno.test("parseMessages() and parseAttributes() read any bytes, or say where they are wrong (seed 605)", () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array): Bytes => new Uint8Array(array));
  fc.assert(
    fc.property(bytes, (data) => {
      for (const parse of [parseMessages, parseAttributes]) {
        try {
          parse(data);
        } catch (error) {
          assert(error instanceof SyntaxError && Number.isInteger((error as SyntaxError & { offset: number }).offset));
        }
      }
    }),
    { seed: 605, numRuns: 5000 },
  );
  // What was read and is written again reads the same.
  const values = fc.dictionary(fc.integer({ min: 1, max: 0x3fff }).map(String), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(values, (dictionary) => {
      const attributes = Object.entries(dictionary).map((
        [type, value],
      ): Attribute => [Number(type), new Uint8Array(value)]);
      const read = parseAttributes(encodeAttributes(attributes));
      assertEquals([...read], attributes);
      assertEquals(encodeAttributes([...read]), encodeAttributes(attributes));
    }),
    { seed: 605, numRuns: 1000 },
  );
});

/** A netlink error message with the kernel's words. */
function errorMessage(sequence: number, errno: number, text: string): Bytes {
  const words = encodeAttributes([[1, attributeString(text)]]);
  const bytes = new Uint8Array(16 + 4 + 16 + words.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 0x300, true);
  view.setUint32(8, sequence, true);
  view.setInt32(16, -errno, true);
  view.setUint32(20, 16, true);
  bytes.set(words, 36);
  return bytes;
}

Deno.test("NetlinkSocket.request() tells the kernel's own words, and passes over answers to others", () => {
  using fake = new FakeKernel();
  const answers = [errorMessage(99, 1, "not this one"), errorMessage(1, 17, "Exclusivity flag on, cannot modify")];
  fake.read = (_fd, buffer) => {
    const answer = answers.shift()!;
    buffer.set(answer);
    return answer.length;
  };
  using socket = new NetlinkSocket();
  const error = assertThrows(
    () => socket.request({ type: 36, header: new Uint8Array(20), action: "make a qdisc" }),
    SyscallError,
    "Cannot make a qdisc: EEXIST (File exists): the kernel says: Exclusivity flag on, cannot modify",
  );
  assertEquals([error.command, error.code], ["netlink", "EEXIST"]);
});
