/**
 * What else differs from kernel to kernel: instructions, sizes, kinds of BTF, flags.
 *
 * @module
 */

import { asm, encode, exit, mov64, r0 } from "../asm/mod.ts";
import { BtfBuilder } from "../btf/mod.ts";
import { btfLoad } from "../cmds/btf.ts";
import { mapCreate, type MapCreateOptions } from "../cmds/map.ts";
import { tokenCreate } from "../cmds/token.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { Capability } from "../tokens/capabilities.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { BPF_F_MMAPABLE, BPF_F_RB_OVERWRITE, BPF_MAXINSNS } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { type Attempt, attempt, cached, yesOrNo } from "./_answer.ts";
import { hasMapType } from "./map_types.ts";
import { tryLoad } from "./prog_types.ts";

/**
 * A feature of the kernel's that is no type of map, program or attaching.
 *
 * - `large_insns`: more than 4096 instructions, with CAP_BPF, since 5.2
 * - `bounded_loops`: loops whose end the verifier can see, since 5.3
 * - `isa_v2`: version 2 of the instructions: jumps on `<` and `<=`, since 4.14
 * - `isa_v3`: version 3: jumps on 32 bits, since 5.1
 * - `isa_v4`: version 4: sign extension, byte swaps, long jumps, since 6.6
 * - `atomics`: atomic exchange, and operations that fetch, since 5.12
 * - `may_goto`: `may_goto`, since 6.9
 * - `load_acquire`: `load_acquire` and `store_release`, since 6.15
 * - `global_data`: programs that reach an array's memory, since 5.2
 * - `token`: BPF tokens, since 6.9
 * - `array_mmap`: arrays that can be mapped, since 5.5
 * - `arena`: memory that programs and user space share, since 6.9
 * - `ringbuf_overwrite`: ring buffers that overwrite what was not read, since 6.19
 * - `btf_func`: functions in BTF, since 4.20
 * - `btf_func_global`: global functions in BTF, since 5.6
 * - `btf_datasec`: variables and sections in BTF, since 5.2
 * - `btf_float`: floating point numbers in BTF, since 5.13
 * - `btf_decl_tag`: tags of declarations in BTF, since 5.16
 * - `btf_type_tag`: tags of types in BTF, since 5.17
 * - `btf_enum64`: 64-bit enums in BTF, since 6.0
 * - `btf_qmark_datasec`: sections whose names start with `?` in BTF, since 6.9
 * - `object_names`: names of maps and programs, since 4.15
 * - `expected_attach_type`: what a program is loaded for, since 4.17
 */
export type Feature =
  | "large_insns"
  | "bounded_loops"
  | "isa_v2"
  | "isa_v3"
  | "isa_v4"
  | "atomics"
  | "may_goto"
  | "load_acquire"
  | "global_data"
  | "token"
  | "array_mmap"
  | "arena"
  | "ringbuf_overwrite"
  | "btf_func"
  | "btf_func_global"
  | "btf_datasec"
  | "btf_float"
  | "btf_decl_tag"
  | "btf_type_tag"
  | "btf_enum64"
  | "btf_qmark_datasec"
  | "object_names"
  | "expected_attach_type";

type Root = PermissionToken<Capability>;

function program(insns: () => Bytes): (token: Root) => boolean | undefined {
  return (token) => {
    const { errno, log } = tryLoad(token, "socket_filter", { insns: insns() });
    // The verifier says EACCES to what it does not know.
    if (errno !== undefined && errno !== 0 && log !== "") return false;
    return yesOrNo({ errno, log });
  };
}

function btf(build: (builder: BtfBuilder) => void): (token: Root) => boolean | undefined {
  return (token) => {
    const builder = new BtfBuilder();
    build(builder);
    return yesOrNo(attempt(() => btfLoad(token, builder.bytes())));
  };
}

function map(options: MapCreateOptions): (token: Root) => boolean | undefined {
  return (token) => yesOrNo(attempt(() => mapCreate(token, options)));
}

const ARRAY: MapCreateOptions = { type: "array", keySize: 4, valueSize: 4, maxEntries: 1 };
const NO_FD = 0x7fff_ffff;

/** A kernel that has the command looks for the descriptor first. */
const foundNoFd = (tried: Attempt): boolean | undefined => tried.errno === errnos.EBADF ? true : yesOrNo(tried);

/** How each feature is tried. */
const PROBES: Readonly<Record<Feature, (token: Root) => boolean | undefined>> = {
  large_insns: program(() => encode([...Array.from({ length: BPF_MAXINSNS + 1 }, () => mov64(r0, 0)), exit()])),
  bounded_loops: program(() =>
    asm`
      r0 = 10
    loop:
      r0 -= 1
      if r0 != 0 goto loop
      exit
    `
  ),
  isa_v2: program(() =>
    asm`
      r0 = 0
      if r0 < 1 goto +0
      exit
    `
  ),
  isa_v3: program(() =>
    asm`
      r0 = 0
      if w0 < 1 goto +0
      exit
    `
  ),
  isa_v4: program(() =>
    asm`
      r0 = 1
      r0 = (s8)r0
      r0 = bswap16 r0
      gotol +0
      r0 = 0
      exit
    `
  ),
  atomics: program(() =>
    asm`
      *(u64 *)(r10 -8) = 0
      r0 = 1
      r0 = atomic64_fetch_add((u64 *)(r10 -8), r0)
      exit
    `
  ),
  may_goto: program(() =>
    asm`
      r0 = 0
    loop:
      may_goto out
      goto loop
    out:
      exit
    `
  ),
  load_acquire: program(() =>
    asm`
      *(u64 *)(r10 -8) = 0
      r0 = load_acquire((u64 *)(r10 -8))
      exit
    `
  ),
  global_data: (token: Root): boolean | undefined => {
    let answer: boolean | undefined;
    const made = attempt(() => {
      using array = mapCreate(token, ARRAY);
      answer = program(() =>
        asm`
          r1 = map_value ${array} ll
          r0 = *(u32 *)(r1 +0)
          exit
        `
      )(token);
    });
    return made.errno === 0 ? answer : undefined;
  },
  token: (token: Root): boolean | undefined => foundNoFd(attempt(() => void tokenCreate(token, NO_FD))),
  array_mmap: map({ ...ARRAY, flags: BPF_F_MMAPABLE }),
  arena: (token: Root): boolean | undefined => hasMapType(token, "arena"),
  ringbuf_overwrite: map({ type: "ringbuf", maxEntries: 4096, flags: BPF_F_RB_OVERWRITE }),
  btf_func: btf((builder) => builder.func("f", builder.funcProto(0, []), "static")),
  btf_func_global: btf((builder) => builder.func("f", builder.funcProto(0, []), "global")),
  btf_datasec: btf((builder) => {
    const variable = builder.var("v", builder.int("int", 4, "signed"), "static");
    builder.datasec(".data", 4, [{ typeId: variable, offset: 0, size: 4 }]);
  }),
  btf_float: btf((builder) => builder.float("double", 8)),
  btf_decl_tag: btf((builder) => builder.declTag("t", builder.struct("s", 0, []))),
  btf_type_tag: btf((builder) => builder.typeTag("t", builder.int("int", 4, "signed"))),
  btf_enum64: btf((builder) => builder.enum64("e", [{ name: "A", val: 1n }])),
  btf_qmark_datasec: btf((builder) => {
    const variable = builder.var("v", builder.int("int", 4, "signed"), "static");
    builder.datasec("?.data", 4, [{ typeId: variable, offset: 0, size: 4 }]);
  }),
  object_names: map({ ...ARRAY, name: "test" }),
  expected_attach_type: (token: Root): boolean | undefined =>
    yesOrNo(tryLoad(token, "cgroup_sock", { expectedAttachType: "cgroup_inet_sock_create" })),
};

/** The features that {@linkcode hasFeature} knows. */
export const features: readonly Feature[] = Object.keys(PROBES) as Feature[];

/**
 * Whether the running kernel has a feature, which is tried.
 *
 * @example
 * ```ts
 * import { acquire, features, hasFeature } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * for (const feature of features) console.log(feature, hasFeature(token, feature));
 * ```
 *
 * @param token A token with CAP_BPF.
 * @param feature The feature.
 * @returns Undefined where it could not be told: the token or the kernel refuses, or there is no memory. Other answers
 * are kept for as long as the process lives.
 * @throws {TypeError} For a feature that this library does not know.
 */
export function hasFeature(token: AnyToken, feature: Feature): boolean | undefined {
  if (!Object.hasOwn(PROBES, feature)) {
    throw new TypeError(`Cannot use feature: "${feature}" is none of ${features.join(", ")}`);
  }
  return cached(`feature ${feature}`, () => PROBES[feature](token as Root));
}
