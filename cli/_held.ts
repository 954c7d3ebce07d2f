/**
 * What is known of objects by whoever holds them.
 *
 * @module
 */

/** A process that holds an object. */
export interface Holder {
  /** The process. */
  readonly pid: number;
  /** Its name. */
  readonly comm: string;
}

/** The kinds of objects, as /proc/PID/fdinfo names their ids. */
export type HeldKind = "prog" | "map" | "link" | "btf";

/** What is known of an object by whoever holds it. */
export interface Held {
  /** The processes, each once, in the order of their numbers. */
  readonly holders: readonly Holder[];
  /** What /proc shows of their descriptors, where what `show` needs of it is known by now. */
  readonly fields: Fields | undefined;
}

/** What /proc shows of a descriptor: a field by its name. */
export interface Fields {
  /** The text of a field. */
  get(name: string): string | undefined;
}

/** The fields in what /proc shows of a descriptor. */
export function fieldsOf(text: string): Fields {
  return {
    get: (name) => {
      const start = text.indexOf(`\n${name}:\t`);
      if (start < 0) return undefined;
      const end = text.indexOf("\n", start + 1);
      return text.slice(start + name.length + 3, end < 0 ? undefined : end);
    },
  };
}
