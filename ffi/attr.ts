/**
 * `union bpf_attr`, written by field name.
 *
 * @module
 */

import { attrLayouts } from "../uapi/attr.gen.ts";
import { type CommandName, commands } from "../uapi/enums.gen.ts";
import { StructBuffer } from "./struct_buffer.ts";

/** The names of the fields of a command's attr. */
export type AttrField<C extends CommandName> = keyof (typeof attrLayouts)[C]["fields"] & string;

/** The commands' C names. */
const NAMES = Object.fromEntries(
  Object.keys(commands).map((command) => [command, `BPF_${command.toUpperCase()}`]),
) as Record<CommandName, string>;

/**
 * The attr of one command: zeroed, and as large as the command's last field needs.
 *
 * @typeParam C The command.
 */
export class Attr<C extends CommandName = CommandName> extends StructBuffer<AttrField<C>> {
  /** The command that it is for. */
  readonly command: C;
  /** The command's number. */
  readonly number: number;

  /**
   * Makes an attr whose fields are all zero.
   *
   * @param command The command that it is for.
   */
  constructor(command: C) {
    super(NAMES[command], attrLayouts[command]);
    this.command = command;
    this.number = commands[command];
  }
}
