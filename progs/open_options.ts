/**
 * Which program to open.
 *
 * @module
 */

import type { PathOptions } from "../cmds/obj.ts";
import type { Fd } from "../ffi/fd.ts";

/** A program by its pin. */
export interface ProgramByPath extends PathOptions {
  /** Where it is pinned. */
  path: string;
}

/** A program by its id. */
export interface ProgramById {
  /** Its id. */
  id: number;
}

/** A program by its name. */
export interface ProgramByName {
  /** Its name, which only one program may have: the kernel keeps 15 characters. */
  name: string;
}

/** A program by the tag of its instructions. */
export interface ProgramByTag {
  /** The tag in hexadecimal, which only one program may have. */
  tag: string;
}

/** A program by a descriptor of it. */
export interface ProgramByFd {
  /** The descriptor, which is taken over: one that was inherited, received or duplicated. */
  fd: Fd | number;
}

/** Where a program is. */
export type ProgramSource = ProgramByPath | ProgramById | ProgramByName | ProgramByTag | ProgramByFd;
