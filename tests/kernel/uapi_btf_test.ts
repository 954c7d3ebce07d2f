import { assert, assertEquals, assertGreater, assertGreaterOrEqual } from "@std/assert";
import { BPF_ATTR_SIZE } from "../../uapi/attr.gen.ts";
import * as constants from "../../uapi/constants.gen.ts";
import { structLayouts } from "../../uapi/structs.gen.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { disagreement, listedFields, type Place } from "../_layouts.ts";

// Kernels before this one lack too much of uapi/ to tell whether it is right.
const OPTIONS: KernelTestOptions = { root: false, needs: ["btf", kernelSince("6.1")] };

let read: BtfOracle | undefined;

/** The running kernel's types, read once. */
function kernelTypes(): BtfOracle {
  return read ??= new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
}

/** Says what was compared, and names what the running kernel lacks: it is not known to be right. */
function report(what: string, compared: number, absent: readonly string[]): void {
  console.log(`${what}: ${compared} compared, ${absent.length} absent from kernel ${Deno.osRelease()}`);
  if (absent.length > 0) console.log(`  absent: ${absent.join(", ")}`);
}

kernelTest("attrLayouts and structLayouts agree with the running kernel, field by field", OPTIONS, () => {
  const types = kernelTypes();
  assertGreater(types.typeCount, 10_000);
  const wrong: string[] = [];
  const absent: string[] = [];
  let compared = 0;
  let bitfields = 0;
  for (const { list, type, path, place } of listedFields()) {
    const field = types.fieldsOf(type)?.get(path);
    if (field === undefined) {
      absent.push(`${list}.${path}`);
      continue;
    }
    compared++;
    if (field.isBitfield) bitfields++;
    const difference = disagreement(place, field);
    // Each kernel takes new bits from the padding's start: it has to end where it did.
    const end = place.offset * 8 + (place.bit ?? 0) + (place.bits ?? place.size * 8);
    if (/(?:^|\.)__reserved/.test(path) && end === field.bit + field.bits) continue;
    if (difference !== undefined) wrong.push(`${list}.${path}: ${difference}`);
  }
  report("fields", compared, absent);
  assertEquals(wrong, []);
  assertGreaterOrEqual(compared, 400);
  assertGreaterOrEqual(bitfields, 40);
  // A test that compares little proves little: Linux 6.1 lacks a fifth of the fields.
  assertGreater(compared, absent.length * 3);
});

kernelTest("structLayouts have the running kernel's sizes where no field is newer", OPTIONS, () => {
  const types = kernelTypes();
  const absent: string[] = [];
  let compared = 0;
  for (const [name, { size, fields }] of Object.entries(structLayouts)) {
    const known = types.fieldsOf(name);
    if (known === undefined) {
      absent.push(name);
      continue;
    }
    const actual = types.sizeOf(name) ?? 0;
    const isNewer = Object.keys(fields).some((field) => !known.has(field));
    compared++;
    if (isNewer) assertGreaterOrEqual(size, actual, name);
    else assertEquals(size, actual, name);
  }
  report("structs", compared, absent);
  assertGreaterOrEqual(compared, 15);
  assertGreaterOrEqual(BPF_ATTR_SIZE, types.sizeOf("bpf_attr") ?? Infinity);
});

kernelTest("disagreement() finds a field that is moved, resized or split wrongly", OPTIONS, () => {
  const types = kernelTypes();
  let tried = 0;
  for (const { type, path, place } of listedFields()) {
    const field = types.fieldsOf(type)?.get(path);
    if (field === undefined) continue;
    const wrong: Place[] = [
      { ...place, offset: place.offset + 4 },
      place.bits === undefined ? { ...place, size: place.size + 4 } : { ...place, bits: place.bits + 1 },
      { ...place, bit: (place.bit ?? 0) + 1 },
    ];
    for (const one of wrong) assert(disagreement(one, field) !== undefined, `${type}.${path}`);
    tried++;
  }
  assertGreaterOrEqual(tried, 400);
});

/** What uapi/facts.json has of enums and of single constants. */
interface Facts {
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly flags: Readonly<Record<string, number>>;
}

/** A value as uapi/constants.gen.ts has it; as the facts do, where it is not there. */
function constant(name: string, value: number): bigint {
  const exported: Readonly<Record<string, number | bigint>> = constants;
  return BigInt(exported[name] ?? value);
}

/** Whether a constant is a limit behind the last member, which grows with each kernel. */
function isLimit(name: string): boolean {
  return /^__|_MAX$|^MAX_|_MAX_(STATES|SHIFT)$/.test(name);
}

async function facts(): Promise<Facts> {
  return JSON.parse(await Deno.readTextFile(new URL("../../uapi/facts.json", import.meta.url)));
}

kernelTest("enums have the running kernel's numbers", OPTIONS, async () => {
  const types = kernelTypes();
  const anonymous = types.enumOf("") ?? new Map<string, bigint>();
  const wrong: string[] = [];
  const absent: string[] = [];
  let compared = 0;
  let enums = 0;
  for (const [name, members] of Object.entries((await facts()).enums)) {
    const known = types.enumOf(name) ?? anonymous;
    const before = compared;
    for (const [member, value] of Object.entries(members)) {
      const actual = known.get(member);
      if (actual === undefined) absent.push(member);
      else {
        compared++;
        const ours = constant(member, value);
        if (isLimit(member) ? ours < actual : ours !== actual) {
          wrong.push(`${member}: ${ours}, not ${actual}`);
        }
      }
    }
    if (compared > before) enums++;
  }
  report(`members of ${enums} enums`, compared, absent);
  assertEquals(wrong, []);
  assertGreaterOrEqual(enums, 30);
  assertGreaterOrEqual(compared, 450);
  assertGreater(compared, absent.length * 3);
});

kernelTest("constants of anonymous enums have the running kernel's numbers", OPTIONS, async () => {
  const anonymous = kernelTypes().enumOf("") ?? new Map<string, bigint>();
  const wrong: string[] = [];
  let compared = 0;
  let elsewhere = 0;
  for (const [name, value] of Object.entries((await facts()).flags)) {
    const actual = anonymous.get(name);
    // Most of these are macros, which BTF knows nothing of.
    if (actual === undefined) elsewhere++;
    else {
      compared++;
      const ours = constant(name, value);
      if (isLimit(name) ? ours < actual : ours !== actual) wrong.push(`${name}: ${value}, not ${actual}`);
    }
  }
  console.log(`constants: ${compared} compared, ${elsewhere} are macros or absent from kernel ${Deno.osRelease()}`);
  assertEquals(wrong, []);
  assertGreaterOrEqual(compared, 100);
});
