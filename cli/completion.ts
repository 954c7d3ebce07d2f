/**
 * What shells read to complete commands: `bpf completion bash`.
 *
 * @module
 */

import type { CommandGroup } from "./_command.ts";
import { GROUP_NAMES, groupOf } from "./_bpf.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** What may follow a group: its commands. */
async function commandsOf(): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const name of GROUP_NAMES) {
    const group = await groupOf(name);
    const names = Object.keys(group?.commands ?? {}).filter((command) => command !== "");
    found.set(name, group === undefined || names.length === 0 ? [] : [...names, "help"]);
  }
  return found;
}

/** What may follow the word in front: the same in every command. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  pinned: ["<file>"],
  file: ["<file>"],
  data_in: ["<file>"],
  data_out: ["<file>"],
  ctx_in: ["<file>"],
  ctx_out: ["<file>"],
  pinmaps: ["<file>"],
  format: ["raw", "c"],
  dump: ["xlated", "jited", "id", "name", "pinned", "prog", "map", "file"],
};

/** What names an object. */
const REFS = ["id", "name", "tag", "pinned"];

function bash(groups: ReadonlyMap<string, readonly string[]>): string {
  const cases = [...groups].filter(([, commands]) => commands.length > 0)
    .map(([name, commands]) => `    ${name}) words="${commands.join(" ")}" ;;`);
  const follows = Object.entries(FOLLOWS).map(([word, next]) =>
    next[0] === "<file>"
      ? `    ${word}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`
      : `    ${word}) words="${next.join(" ")}" ;;`
  );
  return `# bash completion of bpf; in ~/.bashrc: source <(bpf completion bash)
_bpf() {
  local cur prev words i group= command=
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD - 1]}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*) ;;
      *) if [ -z "$group" ]; then group="\${COMP_WORDS[i]}"; elif [ -z "$command" ]; then command="\${COMP_WORDS[i]}"; fi ;;
    esac
  done
  words="${REFS.join(" ")}"
  if [ -z "$group" ]; then
    words="${[...groups.keys()].join(" ")} --json --json=v1 --pretty --bpffs --debug --nomount --help --version"
  elif [ -z "$command" ]; then
    words=
    case "$group" in
${cases.join("\n")}
    esac
  else
    case "$prev" in
${follows.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _bpf bpf
`;
}

function zsh(groups: ReadonlyMap<string, readonly string[]>): string {
  const cases = [...groups].filter(([, commands]) => commands.length > 0)
    .map(([name, commands]) => `      ${name}) compadd -- ${commands.join(" ")} ;;`);
  return `#compdef bpf
# zsh completion of bpf; as a file _bpf in a folder of $fpath, or: source <(bpf completion zsh)
_bpf() {
  local -a typed
  typed=("\${(@)words[2,CURRENT-1]:#-*}")
  case \${#typed} in
    0) compadd -- ${
    [...groups.keys()].join(" ")
  } --json --json=v1 --pretty --bpffs --debug --nomount --help --version ;;
    1) case "\${typed[1]}" in
${cases.join("\n")}
    esac ;;
    *) case "\${words[CURRENT-1]}" in
      ${Object.keys(FOLLOWS).filter((word) => FOLLOWS[word][0] === "<file>").join("|")}) _files ;;
      format) compadd -- raw c ;;
      *) compadd -- ${REFS.join(" ")}; _files ;;
    esac ;;
  esac
}
compdef _bpf bpf
`;
}

async function completion(session: Session, words: Words): Promise<void> {
  const shell = words.next("a shell: bash or zsh");
  words.end();
  if (shell !== "bash" && shell !== "zsh") throw new CommandError(`expected 'bash' or 'zsh', got: '${shell}'?`);
  const groups = await commandsOf();
  const text = shell === "bash" ? bash(groups) : zsh(groups);
  session.answer({ json: () => text, v1: ["completion", () => text], text: () => text });
}

/** What shells read. */
export const group: CommandGroup = { usage: "Usage: {} completion { bash | zsh }\n", commands: { "": completion } };
