/**
 * The objects of tests/testdata, and what is sent to the kernel when one is loaded.
 *
 * @module
 */

import { type Kernel, kernel, swapKernel } from "../../ffi/kernel.ts";
import { BpfObject, type ObjectParseOptions } from "../../object/mod.ts";
import { attrLayouts } from "../../uapi/attr.gen.ts";
import { commands } from "../../uapi/enums.gen.ts";
import { memoryAt } from "../unit/_fake_kernel.ts";

const FOLDER = new URL("../testdata/objects/", import.meta.url);

/** The path of a test object. */
export function objectPath(name: string): string {
  return decodeURIComponent(new URL(`${name}.bpf.o`, FOLDER).pathname);
}

/** The bytes of a test object. */
export function objectBytes(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(objectPath(name));
}

/** A test object, with the run's own bpffs for its pins. */
export function testObject(name: string, options: ObjectParseOptions = {}): BpfObject {
  const pinFolder = Deno.env.get("BPF_TEST_BPFFS") ?? "/sys/fs/bpf";
  return BpfObject.parse(objectBytes(name), { name, pinFolder, ...options });
}

/** A program as it was sent to the kernel. */
export interface SentProgram {
  readonly name: string;
  readonly insns: Uint8Array;
  readonly type: number;
  readonly expectedAttachType: number;
  readonly funcInfoCount: number;
  readonly lineInfoCount: number;
}

/** Sees the programs that are sent to the kernel. */
export class ProgramSpy implements Disposable {
  /** Those that were sent, probes included. */
  readonly sent: SentProgram[] = [];
  readonly #before: Kernel | undefined;

  constructor() {
    const real = kernel();
    const bpf = (cmd: number, attr: Uint8Array<ArrayBuffer>, size: number): number => {
      if (cmd === commands.prog_load) this.sent.push(sentProgram(attr));
      return real.bpf(cmd, attr, size);
    };
    const spy = new Proxy(real, {
      get: (target, key) => {
        if (key === "bpf") return bpf;
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    this.#before = swapKernel(spy);
  }

  /** The last program of a name. */
  of(name: string): SentProgram | undefined {
    return this.sent.findLast((one) => one.name === name.slice(0, 15));
  }

  [Symbol.dispose](): void {
    swapKernel(this.#before);
  }
}

function sentProgram(attr: Uint8Array<ArrayBuffer>): SentProgram {
  const view = new DataView(attr.buffer, attr.byteOffset);
  const { fields } = attrLayouts.prog_load;
  const u32 = (field: keyof typeof fields): number => view.getUint32(fields[field].offset, true);
  const address = view.getBigUint64(fields.insns.offset, true);
  const name = attr.subarray(fields.prog_name.offset, fields.prog_name.offset + 16);
  return {
    name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
    insns: memoryAt(address, 8 * u32("insn_cnt")).slice(),
    type: u32("prog_type"),
    expectedAttachType: u32("expected_attach_type"),
    funcInfoCount: u32("func_info_cnt"),
    lineInfoCount: u32("line_info_cnt"),
  };
}
