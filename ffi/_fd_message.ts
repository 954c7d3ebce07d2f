/**
 * Messages that carry file descriptors: SCM_RIGHTS.
 *
 * @module
 */

import type { Bytes } from "./kernel.ts";
import { MSGHDR_SIZE } from "./libc_kernel.ts";
import { addressOf, allocate, LITTLE_ENDIAN } from "./memory.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** `struct cmsghdr`: u64 length, int level, int type. */
const CMSGHDR_SIZE = 16;

/** A message for sendmsg(2) and recvmsg(2), with the memory that it points at. */
export class Message {
  readonly bytes: Bytes = allocate(MSGHDR_SIZE);
  readonly control: Bytes;
  readonly data: Bytes;
  readonly #vector: Bytes = allocate(16);

  constructor(data: Bytes, fds: number) {
    this.data = data;
    this.control = allocate(fds === 0 ? 0 : CMSGHDR_SIZE + Math.ceil(4 * fds / 8) * 8);
    const vector = new DataView(this.#vector.buffer);
    vector.setBigUint64(0, addressOf(data), LITTLE_ENDIAN);
    vector.setBigUint64(8, BigInt(data.length), LITTLE_ENDIAN);
    const view = new DataView(this.bytes.buffer);
    view.setBigUint64(16, addressOf(this.#vector), LITTLE_ENDIAN);
    view.setBigUint64(24, 1n, LITTLE_ENDIAN);
    view.setBigUint64(32, addressOf(this.control), LITTLE_ENDIAN);
    view.setBigUint64(40, BigInt(this.control.length), LITTLE_ENDIAN);
  }

  /** Writes the control message. */
  setFds(fds: readonly number[]): void {
    if (fds.length === 0) return;
    const view = new DataView(this.control.buffer);
    view.setBigUint64(0, BigInt(CMSGHDR_SIZE + 4 * fds.length), LITTLE_ENDIAN);
    view.setInt32(8, SOL_SOCKET, LITTLE_ENDIAN);
    view.setInt32(12, SCM_RIGHTS, LITTLE_ENDIAN);
    fds.forEach((fd, index) => view.setInt32(CMSGHDR_SIZE + 4 * index, fd, LITTLE_ENDIAN));
  }

  /** The descriptors of the control messages that came. */
  fds(): number[] {
    const header = new DataView(this.bytes.buffer);
    const end = Math.min(Number(header.getBigUint64(40, LITTLE_ENDIAN)), this.control.length);
    const view = new DataView(this.control.buffer);
    const found: number[] = [];
    for (let at = 0; at + CMSGHDR_SIZE <= end;) {
      const length = Number(view.getBigUint64(at, LITTLE_ENDIAN));
      if (length < CMSGHDR_SIZE || at + length > end) break;
      const [level, type] = [view.getInt32(at + 8, LITTLE_ENDIAN), view.getInt32(at + 12, LITTLE_ENDIAN)];
      if (level === SOL_SOCKET && type === SCM_RIGHTS) {
        for (let fd = at + CMSGHDR_SIZE; fd + 4 <= at + length; fd += 4) found.push(view.getInt32(fd, LITTLE_ENDIAN));
      }
      at += Math.ceil(length / 8) * 8;
    }
    return found;
  }

  get flags(): number {
    return new DataView(this.bytes.buffer).getInt32(48, LITTLE_ENDIAN);
  }
}
