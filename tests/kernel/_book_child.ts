/** What book_test.ts runs under strace(1): the book's program, from its first call to the last before it waits. */

import { openBook, type Place } from "./_book.ts";
import { rootToken } from "./_objects.ts";

using book = openBook(rootToken(), Deno.args[0] as Place);
console.log(JSON.stringify({ config: book.config.fd, prog: book.prog.fd }));
