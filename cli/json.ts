/**
 * What `--json=v1` prints, as TypeScript types: `@bpf/deno/json`. Numbers of 64 bits are strings, bytes are hexadecimal
 * text, and what is not there is left out.
 *
 * @example
 * ```ts
 * import type { JsonDocument } from "@bpf/deno/json";
 *
 * const { stdout } = await new Deno.Command("bpf", { args: ["--json=v1", "prog", "show"] }).output();
 * const { data } = JSON.parse(new TextDecoder().decode(stdout)) as JsonDocument<"prog.show">;
 * for (const { id, name, runTimeNs } of data) console.log(id, name, BigInt(runTimeNs));
 * ```
 *
 * @module
 */

import type { BtfInfo, LinkInfo, MapInfo, ProgInfo } from "../cmds/info.ts";
import type { Attached } from "../links/mod.ts";
import type { TopRow } from "./top.ts";

export type { TopRow };

/**
 * A value of the library's as JSON has it.
 *
 * @typeParam T The value's type.
 */
export type JsonOf<T> = T extends bigint ? string
  : T extends Uint8Array ? string
  : T extends readonly (infer E)[] ? readonly JsonOf<E>[]
  : T extends ReadonlyMap<infer K, infer V> ? readonly (readonly [JsonOf<K>, JsonOf<V>])[]
  : T extends object ? { readonly [K in keyof T]: JsonOf<T[K]> }
  : T;

/** A process that holds an object. */
export interface JsonHolder {
  /** The process. */
  readonly pid: number;
  /** Its name. */
  readonly comm: string;
}

/** What is known of an object from elsewhere. */
export interface JsonHeld {
  /** Where it is pinned; empty where `--bpffs` was not given. */
  readonly pinned: readonly string[];
  /** Which processes hold it. */
  readonly pids: readonly JsonHolder[];
}

/** A program. */
export type JsonProg = JsonOf<ProgInfo> & JsonHeld & {
  /** When it was loaded, in seconds since 1970. */
  readonly loadedAt?: number;
  /** Bytes that count against RLIMIT_MEMLOCK or the cgroup. */
  readonly memlock?: number;
};

/** A map. */
export type JsonMap = JsonOf<MapInfo> & JsonHeld & {
  /** Bytes that count against RLIMIT_MEMLOCK or the cgroup. */
  readonly memlock?: number;
  /** Whether user space may no longer write it. */
  readonly frozen?: boolean;
  /** The type of the programs in it, of prog arrays. */
  readonly ownerProgType?: string | number;
  /** Whether those are compiled. */
  readonly ownerJited?: boolean;
};

/** A value, decoded by its BTF; bytes as hexadecimal text where there is none. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | {
  readonly [name: string]: JsonValue;
};

/** An element of a map. */
export interface JsonElement {
  /** The key. */
  readonly key: JsonValue;
  /** The value; of maps with a value a CPU there are `values`. */
  readonly value?: JsonValue;
  /** The value of each CPU. */
  readonly values?: readonly JsonValue[];
  /** Why there is no value. */
  readonly error?: string;
}

/** A map, and what is in it. */
export interface JsonMapDump {
  /** Its id. */
  readonly id: number;
  /** Its name. */
  readonly name: string;
  /** Its type. */
  readonly type: string | number;
  /** Its elements. */
  readonly elements: readonly JsonElement[];
}

/** A program at a cgroup. */
export interface JsonCgroupProg {
  /** The program's id. */
  readonly id: number;
  /** How it is attached. */
  readonly attachType: string;
  /** BPF_F_ALLOW_*; left out for effective programs. */
  readonly flags?: number;
  /** Its name. */
  readonly name: string;
  /** The id of the BTF that `attachBtfId` is of. */
  readonly attachBtfObjId: number;
  /** The type id of what a security program is attached to. */
  readonly attachBtfId: number;
  /** The name of that. */
  readonly attachBtfName: string;
}

/** What each kind of answer holds. Kinds that are not listed hold a {@linkcode JsonValue}. */
export interface JsonData {
  /** `prog show` */
  readonly "prog.show": readonly JsonProg[];
  /** `prog run` */
  readonly "prog.run": {
    readonly returnValue: number;
    readonly durationNs: number;
    readonly data: string;
    readonly ctx: string;
  };
  /** `map show` */
  readonly "map.show": readonly JsonMap[];
  /** `map dump` */
  readonly "map.dump": readonly JsonMapDump[];
  /** `map lookup` */
  readonly "map.lookup": JsonElement | null;
  /** `link show` */
  readonly "link.show": readonly (JsonOf<LinkInfo> & JsonHeld)[];
  /** `btf show` */
  readonly "btf.show": readonly (JsonOf<BtfInfo> & {
    readonly progIds: readonly number[];
    readonly mapIds: readonly number[];
    readonly pids: readonly JsonHolder[];
  })[];
  /** `top`: a document for each interval */
  readonly "top": readonly JsonOf<TopRow>[];
  /** `cgroup show` */
  readonly "cgroup.show": readonly JsonCgroupProg[];
  /** `cgroup tree` */
  readonly "cgroup.tree": readonly { readonly path: string; readonly progs: readonly JsonCgroupProg[] }[];
  /** `net show` */
  readonly "net.show": readonly JsonOf<Attached>[];
  /** `perf show` */
  readonly "perf.show": readonly JsonOf<Attached>[];
}

/**
 * What `--json=v1` prints.
 *
 * @typeParam K The kind of the answer.
 */
export interface JsonDocument<K extends string = string> {
  /** The version of the schema. What is added does not change it. */
  readonly version: 1;
  /** The kind of the answer: the command's words, with dots between them. */
  readonly kind: K;
  /** The answer. */
  readonly data: K extends keyof JsonData ? JsonData[K] : JsonValue;
}

/** What is printed under JSON where a command fails. */
export interface JsonError {
  /** One line. */
  readonly error: string;
}
