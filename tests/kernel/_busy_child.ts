/**
 * Makes as many getppid(2) calls as each line of its input says, and answers each line with what it counted.
 *
 * @module
 */

const { symbols } = Deno.dlopen("libc.so.6", { getppid: { parameters: [], result: "i32" } });

for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const wanted = Number(chunk);
  let made = 0;
  while (made < wanted) {
    symbols.getppid();
    made++;
  }
  console.log(made);
}
