/**
 * The demo's output: a table that is redrawn in place on a terminal, and printed once a period elsewhere.
 *
 * @module
 */

const encoder = new TextEncoder();

/** Writes all of a text to the standard output. */
export function write(text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** One row of the table. */
export interface Row {
  /** The process's name. */
  readonly comm: string;
  /** Its number. */
  readonly pid: number;
  /** The system call's name. */
  readonly syscall: string;
  /** Calls a second. */
  readonly rate: number;
}

const BLOCKS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
const NAME_WIDTH = 16;
const PID_WIDTH = 8;
const SYSCALL_WIDTH = 22;
const RATE_WIDTH = 10;
const FIXED_WIDTH = NAME_WIDTH + PID_WIDTH + SYSCALL_WIDTH + RATE_WIDTH + 4;
const DEFAULT_WIDTH = 80;

/** A bar of a fraction of a width, in eighths of a character. */
export function bar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(fraction, 0), 1) * width * 8);
  return BLOCKS[8].repeat(Math.floor(eighths / 8)) + BLOCKS[eighths % 8];
}

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text that cannot change the terminal: processes choose their names themselves. */
export function printable(text: string): string {
  return text.replace(CONTROL, "?");
}

function cell(text: string, width: number): string {
  const safe = printable(text);
  return safe.length > width ? `${safe.slice(0, width - 1)}…` : safe.padEnd(width);
}

/** The table's lines, without their newlines. */
export function tableLines(rows: readonly Row[], title: string, width: number): string[] {
  const most = Math.max(1, ...rows.map(({ rate }) => rate));
  const barWidth = Math.max(0, width - FIXED_WIDTH - 1);
  const head = `${"PROCESS".padEnd(NAME_WIDTH)} ${"PID".padStart(PID_WIDTH)} ${"SYSCALL".padEnd(SYSCALL_WIDTH)} ` +
    `${"CALLS/S".padStart(RATE_WIDTH)}`;
  const lines = rows.map(({ comm, pid, syscall, rate }) =>
    `${cell(comm, NAME_WIDTH)} ${String(pid).padStart(PID_WIDTH)} ${cell(syscall, SYSCALL_WIDTH)} ` +
    `${rate.toFixed(rate < 10 ? 1 : 0).padStart(RATE_WIDTH)} ${bar(rate / most, barWidth)}`.trimEnd()
  );
  return [title, head, ...lines];
}

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_BELOW = "\x1b[J";

/** Where the table goes. Lines above it scroll, the table stays. */
export class Screen implements Disposable {
  readonly #live: boolean;
  #shown: string[] = [];

  /** Decides by whether the standard output is a terminal. */
  constructor(live: boolean = Deno.stdout.isTerminal()) {
    this.#live = live;
    if (live) write(HIDE_CURSOR);
  }

  /** The width of a line, and how many lines there are. */
  get size(): { columns: number; rows: number } {
    if (!this.#live) return { columns: DEFAULT_WIDTH, rows: Infinity };
    const { columns, rows } = Deno.consoleSize();
    return { columns, rows };
  }

  /** Prints a line above the table. */
  line(text: string): void {
    if (!this.#live) return write(`${text}\n`);
    const { columns } = this.size;
    const lines = [text.slice(0, columns), ...this.#shown];
    write(`${this.#up()}${CLEAR_BELOW}${lines.join("\n")}\n`);
  }

  /** Shows another table in place of the last. */
  table(lines: string[]): void {
    if (!this.#live) return write(`${lines.join("\n")}\n\n`);
    const { columns, rows } = this.size;
    const fitting = lines.slice(0, rows - 1).map((line) => line.slice(0, columns));
    write(`${this.#up()}${CLEAR_BELOW}${fitting.join("\n")}\n`);
    this.#shown = fitting;
  }

  #up(): string {
    return this.#shown.length === 0 ? "" : `\x1b[${this.#shown.length}F`;
  }

  /** Gives the cursor back. */
  [Symbol.dispose](): void {
    if (this.#live) write(SHOW_CURSOR);
  }
}
