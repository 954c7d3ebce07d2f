/**
 * Netlink: messages built and read, and requests to the kernel answered or refused with its own words.
 *
 * @module
 */

import { errnoName, SyscallError } from "../errors.ts";
import { Fd } from "./fd.ts";
import { type Bytes, kernel } from "./kernel.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

const HEADER_SIZE = 16;
const ATTRIBUTE_HEADER_SIZE = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const RECEIVE_SIZE = 64 * 1024;
/** The kernel answers before send(2) returns: what takes longer is never coming. */
const TIMEOUT_SECONDS = 5;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const align = (length: number): number => (length + 3) & ~3;

/** An attribute to be sent: its type, and its bytes or the attributes that it is made of. */
export type Attribute = readonly [type: number, value: Bytes | readonly Attribute[]];

/**
 * An unsigned 32-bit value of an attribute.
 *
 * @param value The number.
 * @returns Its bytes.
 */
export function attributeU32(value: number): Bytes {
  const bytes = allocate(4);
  new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
  return bytes;
}

/**
 * A string value of an attribute.
 *
 * @param text The text.
 * @returns Its bytes with a NUL.
 */
export function attributeString(text: string): Bytes {
  return encoder.encode(`${text}\0`);
}

/**
 * Attributes as bytes, each padded to a multiple of 4.
 *
 * @param attributes The attributes.
 * @returns The bytes.
 * @throws {RangeError} For a value that is too long.
 */
export function encodeAttributes(attributes: readonly Attribute[]): Bytes {
  const parts = attributes.map(([type, value]): [number, Bytes] =>
    value instanceof Uint8Array ? [type, value] : [type | NLA_F_NESTED, encodeAttributes(value as readonly Attribute[])]
  );
  const whole = allocate(parts.reduce((sum, [, value]) => sum + align(ATTRIBUTE_HEADER_SIZE + value.length), 0));
  const view = new DataView(whole.buffer);
  let at = 0;
  for (const [type, value] of parts) {
    const length = ATTRIBUTE_HEADER_SIZE + value.length;
    if (length > 0xffff) throw new RangeError(`Cannot build a netlink attribute: ${value.length} bytes are too many`);
    view.setUint16(at, length, LITTLE_ENDIAN);
    view.setUint16(at + 2, type, LITTLE_ENDIAN);
    whole.set(value, at + ATTRIBUTE_HEADER_SIZE);
    at += align(length);
  }
  return whole;
}

function malformed(what: string, offset: number): never {
  throw Object.assign(new SyntaxError(`Cannot read a netlink ${what}: its length at byte ${offset} is wrong`), {
    offset,
  });
}

/**
 * Reads attributes. Of several with the same type the last one counts, as for the kernel.
 *
 * @param bytes The bytes.
 * @returns The values by type; nested ones are bytes to be read again.
 * @throws {SyntaxError} For a length that is wrong; its `offset` says where.
 */
export function parseAttributes(bytes: Bytes): Map<number, Bytes> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = new Map<number, Bytes>();
  for (let at = 0; at + ATTRIBUTE_HEADER_SIZE <= bytes.length;) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < ATTRIBUTE_HEADER_SIZE || at + length > bytes.length) malformed("attribute", at);
    found.set(
      view.getUint16(at + 2, LITTLE_ENDIAN) & NLA_TYPE_MASK,
      bytes.subarray(at + ATTRIBUTE_HEADER_SIZE, at + length),
    );
    at += align(length);
  }
  return found;
}

/** A message that came. */
export interface NetlinkMessage {
  /** What it is: NLMSG_ERROR, NLMSG_DONE, or a family's own. */
  readonly type: number;
  /** NLM_F_* flags. */
  readonly flags: number;
  /** The number of the request that it answers. */
  readonly sequence: number;
  /** What comes behind the header. */
  readonly payload: Bytes;
}

/**
 * Reads the messages of one datagram.
 *
 * @param bytes The datagram.
 * @returns The messages.
 * @throws {SyntaxError} For a length that is wrong; its `offset` says where.
 */
export function parseMessages(bytes: Bytes): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_SIZE <= bytes.length;) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    if (length < HEADER_SIZE || at + length > bytes.length) malformed("message", at);
    messages.push({
      type: view.getUint16(at + 4, LITTLE_ENDIAN),
      flags: view.getUint16(at + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
      payload: bytes.subarray(at + HEADER_SIZE, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** A request to the kernel. */
export interface NetlinkRequest {
  /** The message's type, such as RTM_NEWQDISC. */
  readonly type: number;
  /** NLM_F_* flags besides NLM_F_REQUEST and NLM_F_ACK. @default {0} */
  readonly flags?: number | undefined;
  /** The family's fixed struct. */
  readonly header: Bytes;
  /** The attributes behind it. */
  readonly attributes?: readonly Attribute[] | undefined;
  /** What is being done: it follows "Cannot" in messages. */
  readonly action: string;
}

/** Flags of requests. */
export const NLM_F_ECHO = 0x8;
/** Asks for all objects. */
export const NLM_F_DUMP = 0x300;
/** Refuses where the object is there. */
export const NLM_F_EXCL = 0x200;
/** Makes the object where it is not there. */
export const NLM_F_CREATE = 0x400;
/** Takes the place of the object that is there. */
export const NLM_F_REPLACE = 0x100;

/** A socket to one of the kernel's netlink families. */
export class NetlinkSocket implements Disposable {
  readonly #socket: Fd;
  #sequence = 0;

  /**
   * Opens a socket.
   *
   * @param family The family's number. @default {0} NETLINK_ROUTE
   * @throws {SyscallError} Where socket(2) fails.
   */
  constructor(family = 0) {
    const fd = kernel().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
    if (fd < 0) throw new SyscallError({ command: "socket", errno: -fd, action: "open a netlink socket" });
    this.#socket = Fd.own(fd);
    // Kernels before 4.12 know neither: errors come without words then.
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK]) {
      kernel().setsockopt(this.#socket.fd, SOL_NETLINK, option, attributeU32(1));
    }
    const timeout = allocate(16);
    new DataView(timeout.buffer).setBigInt64(0, BigInt(TIMEOUT_SECONDS), LITTLE_ENDIAN);
    kernel().setsockopt(this.#socket.fd, SOL_SOCKET, SO_RCVTIMEO, timeout);
  }

  /**
   * Asks the kernel, and waits for its answer.
   *
   * @param request The request.
   * @returns The messages that came before the acknowledgement: what a dump or an echo tells.
   * @throws {SyscallError} What the kernel says, with its own words as the hint.
   */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const { type, flags = 0, header, attributes = [], action } = request;
    const sequence = ++this.#sequence;
    const body = encodeAttributes(attributes);
    const message = allocate(HEADER_SIZE + align(header.length) + body.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, message.length, LITTLE_ENDIAN);
    view.setUint16(4, type, LITTLE_ENDIAN);
    view.setUint16(6, flags | NLM_F_REQUEST | NLM_F_ACK, LITTLE_ENDIAN);
    view.setUint32(8, sequence, LITTLE_ENDIAN);
    message.set(header, HEADER_SIZE);
    message.set(body, HEADER_SIZE + align(header.length));
    const sent = kernel().write(this.#socket.as("netlink socket"), message);
    if (sent < 0) throw new SyscallError({ command: "write", errno: -sent, action });
    return this.#answers(sequence, action);
  }

  #answers(sequence: number, action: string): NetlinkMessage[] {
    const answers: NetlinkMessage[] = [];
    const buffer = allocate(RECEIVE_SIZE);
    while (true) {
      const length = kernel().read(this.#socket.as("netlink socket"), buffer);
      if (length < 0) throw new SyscallError({ command: "read", errno: -length, action });
      for (const message of parseMessages(buffer.slice(0, length))) {
        // What an earlier request left behind, whose answer was not waited for.
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_DONE) return answers;
        if (message.type !== NLMSG_ERROR) answers.push(message);
        else if (acknowledged(message, action)) return answers;
      }
    }
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Whether an error message says that all is well; throws what it says otherwise. */
function acknowledged({ flags, payload }: NetlinkMessage, action: string): true {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const errno = -view.getInt32(0, LITTLE_ENDIAN);
  if (errno === 0) return true;
  throw new SyscallError({ command: "netlink", errno, action, hint: words(flags, payload, view) || undefined });
}

/** The kernel's own words in an error message. */
function words(flags: number, payload: Bytes, view: DataView<ArrayBuffer>): string {
  if ((flags & NLM_F_ACK_TLVS) === 0) return "";
  // Behind the error is the request's header, and all of the request unless it was cut.
  const request = (flags & NLM_F_CAPPED) !== 0 ? HEADER_SIZE : align(view.getUint32(4, LITTLE_ENDIAN));
  const text = parseAttributes(payload.subarray(4 + request)).get(NLMSGERR_ATTR_MSG);
  return text === undefined ? "" : `the kernel says: ${decoder.decode(text).replace(/\0.*$/, "")}`;
}

/**
 * The name of the error number with which the kernel refused a netlink request.
 *
 * @param error The error.
 * @returns Its name, such as `"EEXIST"`; undefined for another error.
 */
export function netlinkCode(error: unknown): string | undefined {
  return error instanceof SyscallError && error.command === "netlink" ? errnoName(error.errno) : undefined;
}
