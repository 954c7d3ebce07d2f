import { assertEquals } from "@std/assert";
import { KernelSymbols } from "../../../ffi/kallsyms.ts";

Deno.test("KernelSymbols finds addresses by name and names by address", () => {
  const symbols = new KernelSymbols(
    "ffffffff81000100 T second\nffffffff81000000 T first\nffffffffa0000000 t twin\t[veth]\nffffffffa0001000 t twin\t[dummy]\n" +
      "ffffffff82000000 D data\n0000000000000000 T hidden\n",
  );
  assertEquals(symbols.count, 4);
  assertEquals(symbols.address("first"), 0xffffffff81000000n);
  assertEquals(symbols.address("twin"), 0xffffffffa0000000n);
  assertEquals(symbols.address("data"), undefined);
  assertEquals(symbols.address("hidden"), undefined);
  assertEquals(symbols.find(0xffffffff81000104n), { name: "second", module: undefined, offset: 4n });
  assertEquals(symbols.find(0xffffffffa0001000n)?.module, "dummy");
});
