/**
 * The kernel's symbols, by address: /proc/kallsyms.
 *
 * @module
 */

import { readKernelFile } from "./kernel_file.ts";

/** A symbol that contains an address. */
export interface KernelSymbol {
  /** Its name. */
  readonly name: string;
  /** The module that it is in; undefined for the kernel itself, `"bpf"` for programs. */
  readonly module: string | undefined;
  /** How far into it the address is, in bytes. */
  readonly offset: bigint;
}

/** The kernel's symbols at one moment: programs and modules come and go. */
export class KernelSymbols {
  readonly #addresses: BigUint64Array;
  readonly #names: readonly string[];
  #byName: Map<string, bigint> | undefined;

  /**
   * Sorts the lines of /proc/kallsyms.
   *
   * @param text Its text.
   */
  constructor(text: string) {
    const found: [bigint, string][] = [];
    for (const line of text.split("\n")) {
      const [, address, type, name] = /^([0-9a-f]+) (\S) (.+)$/.exec(line) ?? [];
      // Addresses of code only: data that lies between would claim what follows it.
      if (address === undefined || !"tTwW".includes(type)) continue;
      const value = BigInt(`0x${address}`);
      if (value !== 0n) found.push([value, name]);
    }
    found.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
    this.#addresses = new BigUint64Array(found.map(([address]) => address));
    this.#names = found.map(([, name]) => name);
  }

  /**
   * Reads /proc/kallsyms.
   *
   * @returns The symbols that this process may see: none without CAP_SYSLOG where kernel.kptr_restrict says so.
   * @throws {SyscallError} Where /proc is not mounted.
   */
  static read(): KernelSymbols {
    return new KernelSymbols(new TextDecoder().decode(readKernelFile("/proc/kallsyms")));
  }

  /** How many symbols there are. */
  get count(): number {
    return this.#names.length;
  }

  /**
   * Where a symbol starts.
   *
   * @param name Its name, without the module's.
   * @returns Its address; undefined where there is none. Of several of the name it is the lowest.
   */
  address(name: string): bigint | undefined {
    if (this.#byName === undefined) {
      this.#byName = new Map();
      for (let index = this.#names.length - 1; index >= 0; index--) {
        this.#byName.set(this.#names[index].split(/\s/, 1)[0], this.#addresses[index]);
      }
    }
    return this.#byName.get(name);
  }

  /**
   * The symbol that an address is in.
   *
   * @param address The address.
   * @returns The symbol; undefined below the first one.
   */
  find(address: bigint): KernelSymbol | undefined {
    let [low, high] = [0, this.#addresses.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addresses[middle] <= address) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const [, name, module] = /^(\S+)(?:\s+\[(.+)\])?/.exec(this.#names[low - 1]) ?? [];
    return { name, module, offset: address - this.#addresses[low - 1] };
  }
}
