/**
 * What bpftool says about BTF, for tests to hold btf/ against: its JSON, typed, and sizes worked out from it.
 *
 * @module
 */

import { SLOWNESS } from "./_kernel_test.ts";
import { run } from "./_tools.ts";

/** A member, value, parameter or variable as bpftool shows it. */
export interface DumpedPart {
  readonly name: string;
  readonly type_id: number;
  readonly bits_offset: number;
  readonly bitfield_size?: number;
  readonly val: number;
  readonly offset: number;
  readonly size: number;
}

/** A type as bpftool shows it. */
export interface DumpedType {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly size: number;
  readonly vlen: number;
  readonly type_id: number;
  readonly ret_type_id: number;
  readonly index_type_id: number;
  readonly nr_elems: number;
  readonly bits_offset: number;
  readonly nr_bits: number;
  readonly encoding: string;
  readonly fwd_kind: string;
  readonly linkage: string;
  readonly component_idx: number;
  readonly members: readonly DumpedPart[];
  readonly values: readonly DumpedPart[];
  readonly params: readonly DumpedPart[];
  readonly vars: readonly DumpedPart[];
}

/** Kinds that stand for another type. */
const NAMES_ONLY = new Set(["TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"]);

/** The types of a BTF, as bpftool reads them. */
export class BtfDump {
  readonly types: readonly DumpedType[];
  readonly #byId = new Map<number, DumpedType>();

  constructor(types: readonly DumpedType[]) {
    this.types = types;
    for (const type of types) this.#byId.set(type.id, type);
  }

  /** Asks bpftool: `["file", path]` or `["id", id]`, say. */
  static async ask(source: readonly string[]): Promise<BtfDump> {
    const { code, stdout, stderr } = await run("bpftool", ["-j", "btf", "dump", ...source], {
      timeoutMs: 30_000 * SLOWNESS,
    });
    if (code !== 0) throw new Error(`Cannot ask bpftool for ${source.join(" ")}: ${stderr || stdout}`);
    return new BtfDump(JSON.parse(stdout).types);
  }

  /** A type by its id. */
  get(id: number): DumpedType {
    const type = this.#byId.get(id);
    if (type === undefined) throw new Error(`Cannot find type ${id} in what bpftool says`);
    return type;
  }

  /** The type behind typedefs and qualifiers; undefined for void. */
  behind(id: number): DumpedType | undefined {
    while (id !== 0 && NAMES_ONLY.has(this.get(id).kind)) id = this.get(id).type_id;
    return id === 0 ? undefined : this.get(id);
  }

  /** Bytes of a value. */
  size(id: number): number {
    const type = this.behind(id);
    if (type === undefined) throw new Error("Cannot tell the size of void");
    if (type.kind === "PTR") return 8;
    if (type.kind === "ARRAY") return type.nr_elems * this.size(type.type_id);
    return type.size;
  }
}
