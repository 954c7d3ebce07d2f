/**
 * The verifier's log, read: what happened at which instruction, and why the program was refused. It reads what kernels
 * from 5.10 to 7.x write, calls nothing and never throws: what it does not know is left out.
 *
 * @module
 */

/** A source line, where the program has line information. */
export interface VerifierSource {
  /** The line's text, without the blanks before it. */
  readonly text: string;
  /** The file's name; undefined before Linux 6.9, which does not tell. */
  readonly file: string | undefined;
  /** The line's number; undefined before Linux 6.9. */
  readonly line: number | undefined;
}

/** What the verifier knows of registers and stack slots, as it prints it: `R1` → `ctx()`, `fp-8` → `0`. */
export type VerifierState = ReadonlyMap<string, string>;

/** An instruction as the verifier came by it; it may come by again. */
export interface VerifierStep {
  /** The instruction's number, counted in slots of 8 bytes. */
  readonly insn: number;
  /** The instruction, such as `(b7) r0 = 0`. */
  readonly text: string;
  /** The source line that it belongs to: the last one that was shown before it. */
  readonly source: VerifierSource | undefined;
  /** What was known before it, as far as it was shown. */
  readonly before: VerifierState;
  /** What it changed, as far as that was shown; empty for kernels before 5.18, which show it before the next one. */
  readonly after: VerifierState;
}

/** What the verifier counted. */
export interface VerifierStats {
  /** Instructions that it looked at, each path anew. */
  readonly processedInsns: number;
  /** How many it looks at at most. */
  readonly limit: number;
  /** States that it kept for one instruction at most. */
  readonly maxStatesPerInsn: number;
  /** States that it kept in all. */
  readonly totalStates: number;
  /** States that it kept at once at most. */
  readonly peakStates: number;
  /** How far it followed marks of registers back. Always 0 from Linux 6.18 on. */
  readonly markRead: number;
  /** Bytes of stack of each function, where level 4 was asked for. */
  readonly stackDepths: readonly number[];
  /** How long it took in microseconds, where level 4 was asked for. */
  readonly timeUs: number | undefined;
}

/** A log, read. */
export interface VerifierReport {
  /** Why the program was refused, in the verifier's words; empty where it says nothing of that kind. */
  readonly reason: string;
  /** The number of the instruction that it is about; undefined where it is about the program as a whole. */
  readonly insn: number | undefined;
  /** The instruction and what was known then; undefined where the verifier had not come to instructions. */
  readonly step: VerifierStep | undefined;
  /** The registers and stack slots as they were known at that instruction. */
  readonly state: VerifierState;
  /** What it counted; undefined where it did not come to an end. */
  readonly stats: VerifierStats | undefined;
  /** The few lines that matter: source, instruction, what was known of the registers that it uses, reason. */
  readonly summary: string;
}

// What stands at the start of a line is an instruction of a path; analyses that come before indent theirs.
const STEP = /^(\d+): (\([0-9a-f]{2}\) .*)$/;
const STATE = /^(?:from \d+ to )?(\d+)(?: \(speculative execution\))?: ((?:frame\d+: )?(?:R\d+|fp[-0-9]).*)$/;
const CALL_STATE = /^ ((?:frame\d+: )?R\d+.*)$/;
const LINE_NUMBER = /:(\d+)$/;
const PROCESSED =
  /^processed (\d+) insns \(limit (\d+)\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read (\d+)/;
const DEPTH = /^stack depth (\d+(?:\+\d+)*)/;
const TIME = /^verification time (\d+) usec/;

/** Lines that are about how the verifier works, not about what is wrong. */
const NOISE = [
  /^func#\d+ @\d+/,
  /^Live regs before insn:/,
  /^topo_order\[/,
  /^subprog#\d+/,
  /^stack use\/def /,
  /^(mark_precise|last_idx|regs=|parent |frame\d+: (?:last_idx|regs=|parent))/,
  /^\(\d+\) (frame|live stack)/,
  /^(caller|callee):$/,
  /^returning from (callee|callback):$/,
  /^to caller at \d+:$/,
  /^(cur|old) state:/,
  /^from \d+ to \d+( \(speculative execution\))?: safe$/,
  /^\d+: safe$/,
  /^propagating /,
  /^insns processed /,
  /^Validating .* func#\d+\.\.\./,
  /^Func#\d+ .*(is safe for any args|is global and)/,
  /^\s/,
  /^$/,
] as const;

/** Reasons that name their instruction themselves. */
const REASON_INSN = /\b(?:insn|instruction) #?(\d+)\b|^(?:R\d+ |)at (\d+):/;

/** The registers and stack slots of a line of state. */
function stateOf(text: string): Map<string, string> {
  const state = new Map<string, string>();
  const frame = /^(frame\d+): /.exec(text);
  const body = frame === null ? text : text.slice(frame[0].length);
  // A value goes on until the next name: it may hold blanks inside of parentheses.
  const names = [...body.matchAll(/(?:^|\s)(R\d+|fp-\d+|refs)(_\w+)?=/g)];
  names.forEach((match, index) => {
    const start = match.index + match[0].length;
    state.set(match[1], body.slice(start, names[index + 1]?.index).trim());
  });
  return state;
}

const AFTER = /; ?(?:$|frame\d+: |R\d+|fp-|refs)/y;

/** The instruction of a line, and the state that newer kernels write behind it. */
function splitStep(text: string): [insn: string, after: string] {
  for (let at = text.indexOf(" ;"); at >= 0; at = text.indexOf(" ;", at + 1)) {
    AFTER.lastIndex = at + 1;
    if (AFTER.test(text)) return [text.slice(0, at).trimEnd(), text.slice(at + 2).trimStart()];
  }
  return [text.trimEnd(), ""];
}

/** The source line that a line shows; undefined where it shows none. */
function sourceOf(line: string): VerifierSource | undefined {
  if (!line.startsWith("; ")) return undefined;
  const at = line.lastIndexOf(" @ ");
  const number = at < 0 ? undefined : LINE_NUMBER.exec(line.slice(at))?.[1];
  if (number === undefined) return { text: line.slice(2).trim(), file: undefined, line: undefined };
  const file = line.slice(at + 3, -number.length - 1);
  return { text: line.slice(2, at).trim(), file, line: Number(number) };
}

/** Goes over the lines of a log, keeping what is known at each. */
class Reader {
  source: VerifierSource | undefined;
  state: VerifierState = new Map();
  step: VerifierStep | undefined;
  stats: VerifierStats | undefined;
  #timeUs: number | undefined;
  #depths: readonly number[] = [];
  /** What may be a reason: lines of no other kind since the last instruction. */
  reasons: string[] = [];

  /** Takes a line; tells whether it is an instruction. */
  take(line: string): boolean {
    const step = STEP.exec(line);
    if (step !== null) {
      const [text, after] = splitStep(step[2]);
      const changed = stateOf(after);
      this.step = { insn: Number(step[1]), text, source: this.source, before: this.state, after: changed };
      // Steps keep the state that was, so that it is never changed in place.
      if (changed.size > 0) this.state = new Map([...this.state, ...changed]);
      this.reasons = [];
      return true;
    }
    if (!this.#takeOther(line) && !NOISE.some((noise) => noise.test(line))) this.reasons.push(line);
    return false;
  }

  #takeOther(line: string): boolean {
    const state = STATE.exec(line) ?? CALL_STATE.exec(line);
    if (state !== null) {
      this.state = stateOf(state.at(-1) as string);
      return true;
    }
    const source = sourceOf(line);
    if (source !== undefined) {
      this.source = source;
      return true;
    }
    const counted = PROCESSED.exec(line)?.slice(1).map(Number);
    if (counted !== undefined) {
      const [processedInsns, limit, maxStatesPerInsn, totalStates, peakStates, markRead] = counted;
      const counts = { processedInsns, limit, maxStatesPerInsn, totalStates, peakStates, markRead };
      this.stats = { ...counts, stackDepths: this.#depths, timeUs: this.#timeUs };
      return true;
    }
    const depths = DEPTH.exec(line)?.[1];
    if (depths !== undefined) this.#depths = depths.split("+").map(Number);
    const time = TIME.exec(line)?.[1];
    if (time !== undefined) this.#timeUs = Number(time);
    return depths !== undefined || time !== undefined;
  }
}

/** The lines of a log, without all of them being held. */
function* linesOf(log: string): Generator<string> {
  for (let at = 0; at < log.length;) {
    const end = log.indexOf("\n", at);
    yield end < 0 ? log.slice(at) : log.slice(at, end);
    at = end < 0 ? log.length : end + 1;
  }
}

/**
 * The instructions in the order in which the verifier came by them.
 *
 * @param log The log: of level 2 for programs that were accepted.
 * @returns An iterator; each step is made when it is asked for.
 */
export function* verifierSteps(log: string): Generator<VerifierStep, void> {
  const reader = new Reader();
  for (const line of linesOf(log)) if (reader.take(line)) yield reader.step as VerifierStep;
}

/** The registers and stack slots that an instruction names. */
function namesIn(text: string): string[] {
  const registers = [...text.matchAll(/\b[rw](\d+)\b/g)].map(([, number]) => `R${number}`);
  const slots = [...text.matchAll(/\(r10 -(\d+)\)/g)].map(([, offset]) => `fp-${offset}`);
  return [...new Set([...registers, ...slots])];
}

function summarize(
  reason: string,
  insn: number | undefined,
  step: VerifierStep | undefined,
  state: VerifierState,
): string {
  const lines: string[] = [];
  const source = step?.source;
  if (source !== undefined) {
    lines.push(`; ${source.text}${source.file === undefined ? "" : ` @ ${source.file}:${source.line}`}`);
  }
  if (step !== undefined && step.insn === insn) {
    lines.push(`${step.insn}: ${step.text}`);
    const known = namesIn(`${step.text} ${reason.replaceAll(/\bR(\d+)/g, "r$1")}`)
      .filter((name) => name !== "R10" && state.has(name)).map((name) => `${name}=${state.get(name)}`);
    if (known.length > 0) lines.push(`   where ${known.join(" ")}`);
  }
  if (reason !== "") lines.push(reason);
  return lines.join("\n");
}

/**
 * Reads the verifier's log.
 *
 * @example
 * ```ts
 * import { acquire, asm, parseVerifierLog, progLoad, VerifierError } from "@bpf/deno";
 *
 * try {
 *   progLoad(acquire("CAP_BPF"), { type: "socket_filter", license: "GPL", insns: asm`
 *     r0 = *(u64 *)(r10 +8)
 *     exit
 *   ` });
 * } catch (error) {
 *   if (error instanceof VerifierError) console.log(parseVerifierLog(error.log).reason);
 *   // invalid read from stack R10 off=8 size=8
 * }
 * ```
 *
 * @param log The log, of any level.
 * @returns What it says.
 */
export function parseVerifierLog(log: string): VerifierReport {
  const reader = new Reader();
  for (const line of linesOf(log)) reader.take(line);
  const reason = reader.reasons.join("\n");
  const named = REASON_INSN.exec(reason);
  const number = named?.[1] ?? named?.[2];
  const insn = number === undefined ? (reason === "" ? undefined : reader.step?.insn) : Number(number);
  const step = reader.step;
  const state: VerifierState = reader.state;
  return { reason, insn, step, state, stats: reader.stats, summary: summarize(reason, insn, step, state) };
}
