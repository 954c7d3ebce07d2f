/** Writes JSON in one line, or in lines as bpftool breaks them. */

const INDENT = "    ";

/** JSON as it grows. */
export class JsonWriter {
  readonly #pretty: boolean;
  readonly #parts: string[] = [];
  #depth: number;
  /** What stands before the next value: nothing after a name and at the start, a comma after a value. */
  #separator = "";

  /**
   * Makes an empty text.
   *
   * @param pretty Whether it is broken into lines.
   * @param depth How many objects and arrays are around it.
   */
  constructor(pretty: boolean, depth: number) {
    this.#pretty = pretty;
    this.#depth = depth;
  }

  /** What has been written. */
  text(): string {
    return this.#parts.join("");
  }

  /** Writes text that is a value. */
  value(text: string): void {
    this.#parts.push(this.#separator, text);
    this.#separator = ",";
  }

  /** Writes a member's name. */
  name(name: string): void {
    this.#parts.push(this.#separator);
    this.#line();
    this.#parts.push(JSON.stringify(name), this.#pretty ? ": " : ":");
    this.#separator = "";
  }

  /** Writes an object or array. */
  nested(brackets: "{}" | "[]", content: () => void): void {
    this.value(brackets[0]);
    this.#separator = "";
    this.#depth++;
    content();
    this.#depth--;
    if (this.#separator !== "") this.#line();
    this.#parts.push(brackets[1]);
    this.#separator = ",";
  }

  #line(): void {
    if (this.#pretty) this.#parts.push(`\n${INDENT.repeat(this.#depth)}`);
  }
}
