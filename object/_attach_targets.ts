/** What stands behind the slash of a section's name, read by what kind of place it is. */

/** A function, and how far into it. */
export interface FunctionTarget {
  readonly name: string;
  readonly offset: number;
}

function refusal(section: string, expected: string): TypeError {
  return new TypeError(`Cannot attach by section "${section}": it is not ${expected}`);
}

/** `function` or `function+offset`. */
export function parseFunction(section: string, target: string): FunctionTarget {
  const [, name, digits] = /^([\w.$@]+)(?:\+(0x[0-9a-f]+|\d+))?$/i.exec(target) ?? [];
  if (name === undefined) throw refusal(section, "function or function+offset");
  return { name, offset: digits === undefined ? 0 : Number(digits) };
}

/** `path:function`, `path:function+offset` or `path:offset`. */
export function parseUprobe(
  section: string,
  target: string,
): { path: string; symbol: string | undefined; offset: number } {
  const colon = target.indexOf(":");
  const [path, place] = colon < 0 ? [target, ""] : [target.slice(0, colon), target.slice(colon + 1)];
  if (path === "" || place === "") throw refusal(section, "path:function or path:function+offset");
  if (/^(0x[0-9a-f]+|\d+)$/i.test(place)) return { path, symbol: undefined, offset: Number(place) };
  const plus = /^(.+)\+(0x[0-9a-f]+|\d+)$/i.exec(place);
  return plus === null ? { path, symbol: place, offset: 0 } : { path, symbol: plus[1], offset: Number(plus[2]) };
}

/** `path:pattern`. */
export function parsePattern(section: string, target: string): { path: string; pattern: string } {
  const [, path, pattern] = /^([^:]+):(.+)$/.exec(target) ?? [];
  if (path === undefined) throw refusal(section, "path:pattern");
  return { path, pattern };
}

/** `path:provider:name`. */
export function parseUsdt(section: string, target: string): { path: string; provider: string; name: string } {
  const [, path, provider, name] = /^([^:]+):([^:]+):([^:]+)$/.exec(target) ?? [];
  if (path === undefined) throw refusal(section, "path:provider:name");
  return { path, provider, name };
}
