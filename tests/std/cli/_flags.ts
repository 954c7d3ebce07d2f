/** The options as FlagTable takes them, whatever their names. */
interface Options {
  alias?: Record<string, string | readonly string[]>;
  boolean?: boolean | string | readonly string[];
  default?: Record<string, unknown>;
  string?: string | readonly string[];
  collect?: string | readonly string[];
  negatable?: string | readonly string[];
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Whether a value reads as a number: decimal with or without exponent, or `0x…`. */
export function isNumeric(text: string): boolean {
  return /^0x[0-9a-f]+$/i.test(text) || /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?$/.test(text);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Which options there are, and the values they have been given so far. */
export class FlagTable {
  readonly values: Record<string, unknown> = {};
  readonly #aliases = new Map<string, Set<string>>();
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #collected: Set<string>;
  readonly #negatable: Set<string>;
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
    for (const [key, others] of Object.entries(options.alias ?? {})) {
      const names = [key, ...(typeof others === "string" ? [others] : others)];
      for (const name of names) this.#aliases.set(name, new Set(names.filter((other) => other !== name)));
    }
    this.#booleans = this.#withAliases(typeof options.boolean === "boolean" ? [] : options.boolean);
    this.#strings = this.#withAliases(options.string);
    this.#collected = this.#withAliases(options.collect);
    this.#negatable = this.#withAliases(options.negatable);
  }

  isString(key: string): boolean {
    return this.#strings.has(key);
  }

  /** Takes one `--name`, `--name=value` or `--no-name`; gives how many arguments behind it belong to it. */
  long(arg: string, next: string | undefined): number {
    const [, negation, name, value] = /^--(no-)?(.+?)(?:=(.+))?$/s.exec(arg) ?? [];
    if (value !== undefined) {
      this.#set(name, this.#booleans.has(name) ? value !== "false" : value, arg);
      return 0;
    }
    if (negation !== undefined && this.#negatable.has(name)) {
      this.#set(name, false, arg, false);
      return 0;
    }
    const key = `${negation ?? ""}${name}`;
    const takesNone = this.#takesNone(key) || this.#options.boolean === true;
    return this.#withNext(key, arg, next, !takesNone && next !== undefined && !next.startsWith("-"));
  }

  /** Takes a group of one-letter options: `-abc`, `-n5`, `-n=5`, `-n 5`. */
  short(arg: string, next: string | undefined): number {
    for (let i = 1; i < arg.length - 1; i++) {
      const letter = arg[i];
      const rest = arg.slice(i + 1);
      const isLetter = /[A-Za-z]/.test(letter);
      if (rest === "-") this.#set(letter, rest, arg);
      else if (isLetter && rest.includes("=")) return this.#set(letter, rest.replace(/^.*?=/s, ""), arg);
      else if (isLetter && /-?\d+(?:\.\d*)?(?:e-?\d+)?$/.test(rest)) return this.#set(letter, rest, arg);
      else if (i + 2 < arg.length && /\W/.test(rest[0])) return this.#set(letter, rest, arg);
      else this.#set(letter, this.#strings.has(letter) ? "" : true, arg);
    }
    const key = arg.slice(-1);
    if (key === "-") return 0;
    const isValue = next !== undefined && next !== "" && !/^--?[^-]/.test(next);
    return this.#withNext(key, arg, next, isValue && !this.#takesNone(key));
  }

  /** Gives the options that were not given what they are then. */
  fillIn(): void {
    for (const [key, value] of Object.entries(this.#options.default ?? {})) {
      if (this.#has(key)) continue;
      for (const name of [key, ...this.#aliases.get(key) ?? []]) this.#place(name, value, false);
    }
    for (const key of this.#booleans) if (!this.#has(key)) this.#place(key, this.#collected.has(key) ? [] : false);
    for (const key of this.#strings) if (!this.#has(key) && this.#collected.has(key)) this.#place(key, []);
  }

  #withAliases(names: string | readonly string[] | undefined): Set<string> {
    const given = (typeof names === "string" ? [names] : names ?? []).filter(Boolean);
    return new Set(given.flatMap((name) => [name, ...this.#aliases.get(name) ?? []]));
  }

  #takesNone(key: string): boolean {
    return this.#booleans.has(key) || [...this.#aliases.get(key) ?? []].some((alias) => this.#booleans.has(alias));
  }

  /** Sets an option to the next argument, to the boolean that it spells, or to what it is without a value. */
  #withNext(key: string, arg: string, next: string | undefined, isValue: boolean): number {
    if (isValue && next) {
      this.#set(key, next, arg);
      return 1;
    }
    if (next === "true" || next === "false") {
      this.#set(key, next === "true", arg);
      return 1;
    }
    return this.#set(key, this.#strings.has(key) ? "" : true, arg);
  }

  #set(key: string, value: string | boolean, arg: string, collect = true): 0 {
    const known = this.#booleans.has(key) || this.#strings.has(key) || this.#aliases.has(key) ||
      (this.#options.boolean === true && /^--[^=]+$/.test(arg));
    if (!known && this.#options.unknown?.(arg, key, value) === false) return 0;
    const read = typeof value === "string" && !this.#strings.has(key) && isNumeric(value) ? Number(value) : value;
    const collected = collect && this.#collected.has(key);
    for (const name of [key, ...this.#aliases.get(key) ?? []]) this.#place(name, read, collected);
    return 0;
  }

  /** Writes a value under its name; `a.b` is the member `b` of `a`. */
  #place(name: string, value: unknown, collect = false): void {
    const path = name.split(".");
    const last = path.pop() ?? name;
    let holder = this.values;
    for (const step of path) {
      const inner = holder[step] ?? {};
      if (!isRecord(inner)) return;
      holder[step] = inner;
      holder = inner;
    }
    const before = holder[last];
    if (!collect) holder[last] = value;
    else if (Array.isArray(before)) before.push(value);
    else holder[last] = before ? [before, value] : [value];
  }

  #has(name: string): boolean {
    let holder: unknown = this.values;
    for (const step of name.split(".")) {
      if (!isRecord(holder) || !Object.hasOwn(holder, step)) return false;
      holder = holder[step];
    }
    return true;
  }
}
