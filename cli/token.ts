/**
 * Commands of BPF tokens: `bpf token …`.
 *
 * @module
 */

import { tryReadKernelText } from "../ffi/kernel_file.ts";
import type { CommandGroup } from "./_command.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import type { Words } from "./_words.ts";

/** What a bpffs delegates, by the kernel's names: a list, or `any`. */
interface Delegation {
  readonly mount: string;
  readonly cmds: readonly string[];
  readonly maps: readonly string[];
  readonly progs: readonly string[];
  readonly attachs: readonly string[];
}

const KINDS = ["cmds", "maps", "progs", "attachs"] as const;

/** The file systems that delegate something. */
function delegations(): Delegation[] {
  return (tryReadKernelText("/proc/self/mounts") ?? "").split("\n").flatMap((line) => {
    const [, path, type, options = ""] = line.split(" ");
    if (type !== "bpf") return [];
    const rights = KINDS.map((kind) =>
      new RegExp(`(?:^|,)delegate_${kind}=([^,]*)`).exec(options)?.[1].split(":") ?? []
    );
    if (rights.every((list) => list.length === 0)) return [];
    const mount = path.replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
    return [{ mount, cmds: rights[0], maps: rights[1], progs: rights[2], attachs: rights[3] }];
  });
}

function show(session: Session, words: Words): void {
  words.end();
  const found = delegations();
  session.answer({
    json: () =>
      found.map(({ mount, cmds, maps, progs, attachs }) => ({
        token_info: mount,
        allowed_cmds: cmds,
        allowed_maps: maps,
        allowed_progs: progs,
        allowed_attachs: attachs,
      })),
    v1: ["token.show", () => found],
    text: () =>
      found.map(({ mount, ...rights }) =>
        `token_info  ${session.style.name(safe(mount))}\n` +
        KINDS.map((kind) => `\tallowed_${kind}:\n\t  ${rights[kind].join(" ")}\n`).join("")
      ).join(""),
  });
}

/** Commands of BPF tokens. */
export const group: CommandGroup = { usage: "Usage: {} token { show | list }\n", commands: { show, list: show } };
